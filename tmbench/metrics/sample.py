"""The sample: what a metric scores. Features, labels, posteriors, facts of the source, and what metrics share.

Everything is checked once, on entry, and handed out read-only. What several metrics need is a cached property,
computed in float64 on first use. The features keep the dtype they are stored in, because the rank of float32
features must not be counted with float64's precision.
"""

from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from tmbench.errors import TmbenchError
from tmbench.identity import Seeds
from tmbench.metrics.decomposition import Decomposition

SVD_ROUNDING = 32 * float(np.finfo(np.float64).eps)
"""Backward error of a float64 singular value decomposition, relative to ‖X‖_F, with a margin of 3."""


class BadSample(TmbenchError):
    """Input that no metric, or not this one, can score; the text says what to do."""


class Sample:
    """n samples of one (source, target, level), as a metric sees them.

    Attributes:
        features: (n, d) as stored, float32 or float64, read-only; None when not given.
        labels: (n,) int64 in 0..C-1, remapped from the ids given; None when not given.
        class_ids: (C,) the ids as given: ``class_ids[labels]`` are the labels that came in.
        posteriors: (n, C_s) float64, rows summing to 1: the source head's probabilities; None when not given.
        source: facts of the source, such as 'parameters' (their number) and 'accuracy'.
        seeds: the random streams of a randomised metric.
    """

    def __init__(
        self,
        features: Any = None,
        labels: Any = None,
        *,
        posteriors: Any = None,
        logits: Any = None,
        source: Mapping[str, Any] | None = None,
        seeds: Seeds | None = None,
    ) -> None:
        """Check the arrays and take read-only views of them.

        Args:
            features: (n, d) numbers. Half precision is widened to float32 and keeps its own rank tolerance.
            labels: (n,) whole numbers; ids may have gaps.
            posteriors: (n, C_s) probabilities over the source's classes.
            logits: (n, C_s) in place of posteriors; -inf masks a class.
            source: facts of the source.
            seeds: random streams; a fixed set when not given.

        Raises:
            BadSample: for an array of the wrong shape, size or kind, or with values that are not finite.
        """
        if posteriors is not None and logits is not None:
            raise BadSample("both posteriors and logits are given; pass one of them.")
        self.features = None if features is None else _features(features)
        self._epsilon = 0.0 if features is None else _epsilon(features)
        self.labels: np.ndarray | None = None
        self.class_ids = np.empty(0, np.int64)
        if labels is not None:
            self.class_ids, self.labels = _labels(labels)
        self.posteriors: np.ndarray | None = None
        if posteriors is not None:
            self.posteriors = _posteriors(posteriors)
        elif logits is not None:
            self.posteriors = softmax(logits)
        self.source: Mapping[str, Any] = MappingProxyType(dict(source or {}))
        self.seeds = seeds or Seeds("sample")
        lengths = {
            name: len(array)
            for name, array in (
                ("features", self.features),
                ("labels", self.labels),
                ("posteriors", self.posteriors),
            )
            if array is not None
        }
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{count} {name}" for name, count in lengths.items())
            raise BadSample(f"the sample has {counts}; pass one row of each per sample.")
        self.n = next(iter(lengths.values()), 0)
        self._arrays = frozenset(lengths)

    def __repr__(self) -> str:
        return f"Sample(n={self.n}, d={self.d}, classes={self.class_count})"

    @property
    def d(self) -> int:
        """The number of features; 0 without features."""
        return 0 if self.features is None else self.features.shape[1]

    @property
    def class_count(self) -> int:
        """C, the number of classes that occur; 0 without labels."""
        return len(self.class_ids)

    @property
    def provides(self) -> frozenset[str]:
        """Which of ``registry.NEEDS`` this sample holds."""
        return self._arrays | ({"source"} if self.source else frozenset())

    @property
    def absent_class_ids(self) -> np.ndarray:
        """The ids between 0 and the largest that no label has."""
        return np.setdiff1d(np.arange(self.class_ids.max(initial=-1) + 1), self.class_ids)

    # --- classes -----------------------------------------------------------------------------------------------

    @cached_property
    def class_counts(self) -> np.ndarray:
        """(C,) int64: n_c, each at least 1."""
        return _read_only(np.bincount(self._need("labels"), minlength=self.class_count))

    @cached_property
    def class_rows(self) -> tuple[np.ndarray, ...]:
        """C arrays of row numbers: the samples of each class."""
        order = _read_only(np.argsort(self._need("labels"), kind="stable"))
        return tuple(np.split(order, np.cumsum(self.class_counts)[:-1]))

    def class_sums(self, matrix: np.ndarray) -> np.ndarray:
        """(C, k) float64: the sum of ``matrix`` (n, k) over the samples of each class."""
        return np.stack([matrix[rows].sum(axis=0, dtype=np.float64) for rows in self.class_rows])

    @cached_property
    def class_means(self) -> np.ndarray:
        """(C, d) float64: the mean feature of each class."""
        return _read_only(self.class_sums(self.features64) / self.class_counts[:, None])

    # --- features ----------------------------------------------------------------------------------------------

    @cached_property
    def features64(self) -> np.ndarray:
        """(n, d) float64: the features, for arithmetic."""
        return _read_only(self._need("features").astype(np.float64, copy=False), given=True)

    @cached_property
    def rank_tolerance(self) -> float:
        """eps(dtype stored) · ‖X‖_F, X as stored and before centring: singular values up to it are rounding.

        For float64 features the rounding of the decomposition itself is the larger: on tall matrices with repeated
        rows LAPACK leaves up to 10 · eps · ‖X‖_F where there should be 0.
        """
        return float(max(self._epsilon, SVD_ROUNDING) * np.linalg.norm(self.features64))

    @cached_property
    def centred_features(self) -> np.ndarray:
        """(n, d) float64: X minus its mean; a constant feature becomes exactly 0."""
        centred = self.features64 - self.features64.mean(axis=0)
        # The mean of a large constant is off by a rounding error that would count as a dimension; its residual
        # is small, so a second pass removes it.
        centred -= centred.mean(axis=0)
        return _read_only(centred)

    @cached_property
    def centred(self) -> Decomposition:
        """The decomposition of the centred features; its rank is at most min(n-1, d)."""
        return Decomposition.of(self.centred_features, self.rank_tolerance)

    @cached_property
    def uncentred(self) -> Decomposition:
        """The decomposition of the features themselves (LogME fits no intercept)."""
        return Decomposition.of(self.features64, self.rank_tolerance)

    def principal_components(self, *, count: int | None = None, variance: float | None = None) -> np.ndarray:
        """(n, k) float64: coordinates of the centred features on their leading principal axes.

        Args:
            count: k; columns beyond the rank are 0, as the projection on any further axis is.
            variance: the share of the variance to exceed: k is the smallest number that does, at most the rank.

        The sign of an axis is fixed by its largest coordinate, so that the order of samples does not matter.
        """
        coordinates = self.centred.left * self.centred.values
        if variance is not None:
            power = np.cumsum(self.centred.values**2)
            kept = int(np.searchsorted(power, variance * power[-1], side="right")) + 1 if len(power) else 0
            coordinates = coordinates[:, :kept]
        if count is not None:
            coordinates = coordinates[:, :count]
        if coordinates.size:
            peaks = np.take_along_axis(coordinates, np.abs(coordinates).argmax(axis=0)[None, :], axis=0)
            coordinates = coordinates * np.sign(peaks)
        if count is not None and coordinates.shape[1] < count:
            coordinates = np.pad(coordinates, ((0, 0), (0, count - coordinates.shape[1])))
        return coordinates

    def _need(self, name: str) -> np.ndarray:
        array: np.ndarray | None = getattr(self, name)
        if array is None:
            raise BadSample(f"this sample has no {name}; a metric that reads them declares needs=('{name}', ...).")
        return array


def softmax(logits: Any) -> np.ndarray:
    """(n, k) float64: the probabilities of ``logits`` (n, k), by log-softmax in float64; -inf gives exactly 0.

    Raises:
        BadSample: for NaN, +inf, or a row that is -inf throughout.
    """
    array = _matrix(logits, "logits").astype(np.float64)
    highest = array.max(axis=1, keepdims=True)
    if not np.isfinite(highest).all():
        row = int(np.argmin(np.isfinite(highest[:, 0])))
        raise BadSample(f"the logits of sample {row} hold NaN or +inf, or are all -inf; a class is masked by -inf.")
    array -= highest
    array -= np.log(np.exp(array).sum(axis=1, keepdims=True))
    return _read_only(np.exp(array, out=array))


def _read_only(array: np.ndarray, given: bool = False) -> np.ndarray:
    """A view that cannot be written through.

    An array made here is frozen itself, so that a metric cannot make its view writable again and spoil what the next
    one sees. The caller's own (``given``) stays as it is.
    """
    if not given:
        array.flags.writeable = False
    view = array.view()
    view.flags.writeable = False
    return view


def _matrix(given: Any, name: str) -> np.ndarray:
    array = np.asarray(given)
    if array.ndim != 2:
        raise BadSample(f"{name} have the shape {array.shape}; pass (samples, columns), pooled to one row a sample.")
    if 0 in array.shape:
        raise BadSample(f"{name} have the shape {array.shape}: nothing to score. Check the filter that chose them.")
    if array.dtype.kind not in "fiub":
        raise BadSample(f"{name} have the dtype {array.dtype}; pass real numbers.")
    return array


def _epsilon(given: Any) -> float:
    """The relative precision the features are stored with; float64's for whole numbers."""
    dtype = np.asarray(given).dtype
    return float(np.finfo(dtype if dtype.kind == "f" else np.float64).eps)


def _features(given: Any) -> np.ndarray:
    array = _matrix(given, "features")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float32 if array.dtype == np.float16 else np.float64)
    _check_finite(array, "features", "Look at the forward pass: an overflow in half precision is the usual cause")
    return _read_only(array, given=True)


def _labels(given: Any) -> tuple[np.ndarray, np.ndarray]:
    """The class ids that occur, ascending, and the labels as indices into them."""
    array = np.asarray(given)
    if array.ndim != 1:
        raise BadSample(f"labels have the shape {array.shape}; pass one class id a sample, not one-hot rows.")
    if array.size == 0:
        raise BadSample("there are no labels: nothing to score. Check the filter that chose the samples.")
    if array.dtype.kind == "f" and np.all(array == np.floor(array)) and np.isfinite(array).all():
        array = array.astype(np.int64)
    if array.dtype.kind not in "iub":
        raise BadSample(f"labels have the dtype {array.dtype}; pass whole numbers.")
    ids, labels = np.unique(array.astype(np.int64), return_inverse=True)
    return _read_only(ids), _read_only(labels.astype(np.int64, copy=False))


def _posteriors(given: Any) -> np.ndarray:
    array = _matrix(given, "posteriors").astype(np.float64)
    _check_finite(array, "posteriors", "Pass logits= instead, and the softmax is taken in float64")
    sums = array.sum(axis=1, keepdims=True)
    # Float16 posteriors over a thousand classes sum to 1 within about 1e-3.
    if array.min() < 0 or np.abs(sums - 1).max() > 5e-3:
        raise BadSample(
            f"posteriors are probabilities, but here the lowest is {array.min():.3g} and rows sum to "
            f"{sums.min():.3g}..{sums.max():.3g}. Pass raw outputs of the head as logits=."
        )
    array /= sums  # else the rounding of the stored dtype carries LEEP out of its range
    return _read_only(array)


def _check_finite(array: np.ndarray, name: str, advice: str) -> None:
    finite = np.isfinite(array)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise BadSample(
            f"{name} hold {int((~finite).sum())} values that are NaN or infinite, the first at row {row}, "
            f"column {column}. {advice}."
        )
