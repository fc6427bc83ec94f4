"""Images with numbers to predict, points in the image or others: what a regression target gives, and is held to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tmbench.functions import find_function
from tmbench.identity import Seeds, content_id
from tmbench.targets.bad_data import BadData
from tmbench.targets.detection import LISTED, NAMED
from tmbench.targets.drawing import rows_drawn
from tmbench.targets.options import RegressionTarget, Split

SLACK = 0.05
"""The share of the image's side by which a point may lie outside, from rounding or a tight crop. More is an error."""


LARGEST = 1e100
"""The largest number that can be predicted: squares of larger ones, summed, are no longer finite."""


@dataclass(frozen=True)
class Row:
    """What a look at an image's annotation and at its file's header has shown.

    Attributes:
        values: (K,) float64, NaN where a number is hidden or missing; None where the image cannot be used.
        length: the reference length of PCK, relative to the image.
        problems: what was wrong, a sentence each with file and id.
    """

    values: np.ndarray | None
    length: float = 1.0
    problems: tuple[str, ...] = ()


class RegressionImages:
    """One split of a regression target; images are decoded when asked for and never in memory as a whole.

    Attributes:
        outputs: the name of each of the K outputs; of a point ``beak.x`` and ``beak.y``, one after the other.
        is_points: whether the outputs are points: shares of the image's width and height, 0 at the left and upper edge.
        names: each image's file name or id, for messages.
        problems: what was left out, a sentence each with file and id.
        hidden: how many images were left out because they do not show a point that is predicted.
    """

    def __init__(
        self,
        outputs: Sequence[str],
        names: Sequence[str],
        look: Callable[[int], Row],
        decode: Callable[[int], np.ndarray],
        *,
        is_points: bool,
        problems: Sequence[str] = (),
        hidden: int = 0,
    ) -> None:
        """A set of which nothing is read yet; each image is looked at once.

        Args:
            outputs: the names of all outputs.
            names: one an image.
            look: row → what its annotation and its file's header say.
            decode: row → (h, w, 3) uint8.
            is_points: whether the outputs are points.
            problems: what is already known to be wrong.
            hidden: how many images were left out for a hidden point.
        """
        self.outputs = tuple(outputs)
        self.names = tuple(names)
        self.is_points = is_points
        self.hidden = hidden
        self._look = look
        self._decode = decode
        self._known = tuple(problems)
        self._seen: dict[int, Row] = {}

    @classmethod
    def of_arrays(
        cls,
        outputs: Sequence[str],
        images: Sequence[np.ndarray] | np.ndarray,
        values: np.ndarray,
        lengths: np.ndarray | None = None,
        *,
        is_points: bool,
    ) -> "RegressionImages":
        """A set in memory: images (h, w, 3) uint8, values (n, K), NaN where hidden, and lengths (n,) or all 1.

        Raises:
            BadData: when the arrays do not belong together.
        """
        values = np.asarray(values)
        if values.ndim != 2 or values.dtype.kind not in "fiu" or values.shape[1] != len(outputs):
            raise BadData(f"values must be (n, {len(outputs)}) numbers, not {values.shape} {values.dtype}.")
        scale = np.ones(len(values)) if lengths is None else np.asarray(lengths, dtype=np.float64)
        if len(images) != len(values) or scale.shape != (len(values),):
            raise BadData(f"{len(images)} images, {len(values)} rows of values, lengths of shape {scale.shape}.")
        wide = values.astype(np.float64)
        return cls(
            outputs,
            [f"image {i}" for i in range(len(values))],
            lambda i: Row(wide[i], float(scale[i])),
            lambda i: images[i],
            is_points=is_points,
        )

    def __len__(self) -> int:
        return len(self.names)

    def seen(self, i: int) -> Row:
        """What a look at image ``i`` shows; what is wrong with its numbers is told, and taken as missing."""
        if i not in self._seen:
            self._seen[i] = _checked(self._look(i), self.names[i], self.outputs, self.is_points)
        return self._seen[i]

    def image(self, i: int) -> np.ndarray:
        """(h, w, 3) uint8, decoded now.

        Raises:
            BadData: when the file does not decode.
        """
        image = self._decode(i)
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise BadData(f"{self.names[i]}: an image must be (h, w, 3) uint8, not {image.shape} {image.dtype}.")
        return image

    @cached_property
    def values(self) -> np.ndarray:
        """(n, K) float64 all outputs, NaN where a number is hidden or missing."""
        blank = np.full(len(self.outputs), np.nan)
        rows = [self.seen(i).values for i in range(len(self))]
        return np.array([blank if row is None else row for row in rows], dtype=np.float64).reshape(-1, len(blank))

    @cached_property
    def lengths(self) -> np.ndarray:
        """(n,) float64 reference lengths of PCK, relative to the image; 1 where none is known."""
        return np.array([self.seen(i).length for i in range(len(self))], dtype=np.float64)

    @cached_property
    def problems(self) -> tuple[str, ...]:
        """What was left out, a sentence each with file and id."""
        return self._known + tuple(text for i in range(len(self)) for text in self.seen(i).problems)

    def part(self, rows: Sequence[int], problems: Sequence[str] = (), hidden: int = 0) -> "RegressionImages":
        """The images at ``rows``, in that order, looked at now; ``problems`` of images not among them go with it."""
        rows = list(rows)
        decode = self._decode
        return RegressionImages(
            self.outputs,
            [self.names[row] for row in rows],
            [self.seen(row) for row in rows].__getitem__,
            lambda i: decode(rows[i]),
            is_points=self.is_points,
            problems=(*self._known, *problems),
            hidden=self.hidden + hidden,
        )

    def drawn(self, size: int | None, generator: np.random.Generator) -> "RegressionImages":
        """``size`` images at random, or all, in the set's order; images that cannot be used are passed over.

        A smaller draw of the same generator is a part of a larger one. Fewer where the set has fewer.
        """

        def broken(row: int) -> Sequence[str] | None:
            seen = self.seen(row)
            return seen.problems if seen.values is None else None

        return self.part(*rows_drawn(len(self), size, generator, broken))


def _checked(row: Row, name: str, outputs: Sequence[str], is_points: bool) -> Row:
    """``row`` without the numbers that cannot be used, with a problem for each of them."""
    if row.values is None:
        return row
    if row.values.shape != (len(outputs),) or row.values.dtype != np.float64:
        shape = f"{row.values.shape} {row.values.dtype}"
        raise BadData(f"{name}: the numbers of an image must be ({len(outputs)},) float64, not {shape}.")
    wrong = np.abs(row.values) > LARGEST  # not so of NaN
    problems = [
        f"{name}: {outputs[i]} is {'infinite' if np.isinf(row.values[i]) else f'{row.values[i]:g}, too large'}."
        for i in np.flatnonzero(wrong).tolist()
    ]
    if is_points:
        pairs = row.values.reshape(-1, 2)
        # A point of which one number is missing is missing.
        lost = ~np.isfinite(pairs).all(axis=1)
        outside = ~lost & ((pairs < -SLACK) | (pairs > 1 + SLACK)).any(axis=1)
        for i in np.flatnonzero(outside).tolist():
            point, (x, y) = outputs[2 * i].removesuffix(".x"), pairs[i]
            problems.append(f"{name}: {point} lies outside the image, at {x:.3g} of its width, {y:.3g} of its height.")
        wrong = np.repeat(lost | outside, 2)
    length = row.length
    if not (np.isfinite(length) and length > 0):
        problems.append(f"{name}: its reference length is {length:g}, not above 0.")
        return Row(None, 1.0, (*row.problems, *problems))
    values = np.where(wrong, np.nan, row.values)
    values.setflags(write=False)
    return Row(values, length, (*row.problems, *problems))


def load(target: RegressionTarget, split: Split, keep_hidden: bool = False) -> RegressionImages:
    """One split of ``target``, checked; every annotation and image header has been read, no image decoded.

    ``sizes`` images are drawn from those that the function gives, of the train split others for each of ``draws``;
    then those are left out that do not show all that is predicted, and counted in ``hidden``. The random streams
    depend on the target's seed and parameters alone.

    Args:
        target: the target.
        split: which images.
        keep_hidden: leave no image out: the values hold NaN. For a forward pass over :meth:`RegressionTarget.whole`.

    Raises:
        BadData: when the function's result is not what the option file declares, and for annotations or images that
            cannot be used where the option says ``broken: refuse``.
    """
    function = find_function(target.function)
    seeds = Seeds(content_id({"target": target.parameters, "seed": target.seed, "version": target.version}))
    size: int | None = getattr(target.sizes, split)
    place = f"{target.function}, split '{split}'"
    draws = target.draws if split == "train" else None
    # A drawing chooses among all images that there are.
    data = function(split, None if draws is not None else size, seeds, **target.arguments)
    if not isinstance(data, RegressionImages):
        raise BadData(f"{place}: it returned {type(data).__name__}, not RegressionImages.")
    _check_outputs(data, target, place)
    if draws is not None and draws.number is None:
        raise ValueError("the option stands for many targets; take one of members()")
    if draws is not None and draws.count > 1 and len(data) == size:
        raise BadData(
            f"{place}: sizes.train={size} are all images that there are, so that all {draws.count} drawings are the "
            "same. Lower it, or leave out draws."
        )
    drawing = f", drawing {draws.number}" if draws is not None else ""
    data = data.drawn(size, seeds.generator(f"images of {split}{drawing}"))
    if data.problems and target.broken == "refuse":
        raise BadData(f"{place}: {_refusal(data.problems)}")
    lost = f" ({len(data.problems)} things were left out as broken: {data.problems[0]})" if data.problems else ""
    if size is not None and len(data) < size:
        raise BadData(
            f"{place}: {len(data)} images, but the option file asks for sizes.{split}={size}{lost}. "
            f"Lower it to {len(data)}, or give null for all."
        )
    if keep_hidden:
        if len(data) < 2:
            raise BadData(f"{place}: {_few(len(data))}{lost}.")
        return data
    shown = np.isfinite(data.values[:, target.columns]).all(axis=1)
    hidden = int(len(data) - shown.sum())
    told = [text for row in np.flatnonzero(~shown).tolist() for text in data.seen(row).problems]
    data = data.part(np.flatnonzero(shown).tolist(), told, hidden)
    if len(data) < 2:
        left = f"; {hidden} do not show {_listed(target.chosen)}" if hidden else ""
        raise BadData(f"{place}: {_few(len(data))}{left}{lost}. Take more images, or predict something else.")
    _check_spread(data, target, split, place)
    return data


def _few(count: int) -> str:
    return "no image is left" if count == 0 else "one image is left, and a regression needs two"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ("one of " if len(names) > 1 else "") + ", ".join(names[:LISTED]) + more


def _refusal(problems: Sequence[str]) -> str:
    more = f" (and {len(problems) - NAMED} more)" if len(problems) > NAMED else ""
    count = "one thing" if len(problems) == 1 else f"{len(problems)} things"
    return (
        f"{count} cannot be used: {' '.join(problems[:NAMED])}{more} Mend what is wrong, or leave it out with "
        "'broken: drop' in the target's option file."
    )


def _check_outputs(data: RegressionImages, target: RegressionTarget, place: str) -> None:
    """Hold the set's outputs to the names of the option file."""
    key = "points" if target.points else "numbers"
    names = tuple(f"{name}.{axis}" for name in target.points for axis in "xy") if target.points else target.numbers
    if data.is_points != bool(target.points):
        kind = "points" if data.is_points else "numbers that are no points"
        raise BadData(f"{place}: it gives {kind}, but the option file names {key}.")
    if data.outputs != names:
        given = data.outputs[::2] if data.is_points else data.outputs
        found = [name.removesuffix(".x") for name in given] if data.is_points else list(given)
        raise BadData(
            f"{place}: the option file's {key} ({', '.join(target.names)}) are not those that it gives, in its order: "
            f"write {key}: [{', '.join(found)}]."
        )


def _check_spread(data: RegressionImages, target: RegressionTarget, split: str, place: str) -> None:
    """Refuse a train split in which an output never changes: there is nothing to learn."""
    if split != "train":
        return
    wanted = data.values[:, target.columns]
    still = np.flatnonzero(wanted.max(axis=0) == wanted.min(axis=0))
    if len(still):
        name, value = target.output_names[still[0]], wanted[0, still[0]]
        raise BadData(f"{place}: {name} is {value:g} in all {len(data)} images; there is nothing to predict.")
