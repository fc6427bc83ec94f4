"""The moments of features that were streamed: what the closed-form metrics read, without the rows.

Batches and workers each give moments, and moments add: ``Moments.of(first) + Moments.of(second)``. In place of the
scatter matrix stands a root of it, a matrix R with RᵀR = Σ xᵀx over x = (1, features, targets), kept small by QR. A
root has the condition number of the features and not its square, so the decomposition that follows from it is the one
that the rows would have given.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import Any

import numpy as np

from tmbench.metrics.feature_set import inputs
from tmbench.metrics.feature_set.decomposition import Decomposition, by_scatter, triangular
from tmbench.metrics.feature_set.groups import FULL, Group, across, reduced
from tmbench.metrics.feature_set.inputs import BadSample, read_only

BUDGET = 2 << 30
"""Bytes that the moments of each class may take; above it a metric that needs them needs the rows."""


def class_moments_fit(classes: int, d: int) -> bool:
    """Whether moments of each class stay within the budget: C roots of up to FULL·d² float64."""
    return FULL * classes * d * d * 8 <= BUDGET


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over n samples of d features, with C classes or k targets.

    Attributes:
        n: the number of samples.
        d: the number of features.
        k: the number of targets; 0 without.
        shift: (d + k,) one of the samples; ``class_sums`` are about it.
        epsilon: the precision that the features are stored with.
        class_ids: (C,) int64 ascending; empty without labels.
        class_counts: (C,) int64.
        class_sums: (C, d) Σ x over each class, about the shift.
        groups: the sums of each class, in the order of ``class_ids``, or of all samples together, each about a sample
            of its own.
        by_class: which of the two.
    """

    n: int
    d: int
    k: int
    shift: np.ndarray
    epsilon: float
    class_ids: np.ndarray
    class_counts: np.ndarray
    class_sums: np.ndarray
    groups: tuple[Group, ...]
    by_class: bool = False

    @classmethod
    def of(cls, features: Any, labels: Any = None, targets: Any = None, *, by_class: bool = False) -> "Moments":
        """The moments of one batch.

        Args:
            features: (n, d), as a :class:`~tmbench.metrics.feature_set.FeatureSet` takes them.
            labels: (n,) class ids, the same ids in every batch.
            targets: (n, k) or (n,).
            by_class: keep the sums of each class apart: TransRate, GBC and subsets of classes need them.

        Raises:
            BadSample: for arrays that do not fit, and for ``by_class`` without labels.
        """
        stored, epsilon = inputs.features(features)
        x = inputs.on_host(stored)
        n, d = x.shape
        y = np.empty((n, 0))
        if targets is not None:
            y = inputs.numbers(targets, "targets", "Drop the samples without one")
        ids, indices = (np.empty(0, np.int64), None) if labels is None else inputs.labels(labels)
        lengths = {n, *(() if targets is None else (len(y),)), *(() if indices is None else (len(indices),))}
        if len(lengths) > 1:
            raise BadSample(f"the batch has arrays of {sorted(lengths)} rows; pass one row of each per sample.")
        if by_class and indices is None:
            raise BadSample("by_class=True keeps the sums of each class; pass labels.")

        def rows(own: np.ndarray | slice) -> np.ndarray:
            return np.concatenate([x[own].astype(np.float64), y[own]], axis=1)

        shift = rows(slice(1))[0]
        counts, sums = np.empty(0, np.int64), np.empty((0, d))
        members: list[np.ndarray] = []
        if indices is not None:
            counts = np.bincount(indices)
            members = np.split(np.argsort(indices, kind="stable"), np.cumsum(counts)[:-1])
            sums = np.stack([(x[own].astype(np.float64) - shift[:d]).sum(axis=0) for own in members])
        # A class at a time: no more rows than its own are held in float64.
        groups = tuple(Group.of(rows(own), d) for own in (members if by_class else [slice(None)]))
        return cls(n, d, y.shape[1], shift, epsilon, ids, counts, sums, groups, by_class)

    def __add__(self, other: "Moments") -> "Moments":
        """The moments of both sets of samples together.

        Raises:
            BadSample: when they do not hold the same things.
        """
        for what in ("d", "k", "by_class"):
            if getattr(self, what) != getattr(other, what):
                raise BadSample(
                    f"moments with {what}={getattr(self, what)} and with {getattr(other, what)} do not add."
                )
        if (len(self.class_ids) == 0) != (len(other.class_ids) == 0):
            raise BadSample("moments with labels and without do not add.")
        other = other.about(self.shift)
        ids = np.union1d(self.class_ids, other.class_ids)
        counts, sums = np.zeros(len(ids), np.int64), np.zeros((len(ids), self.d))
        apart: dict[int, list[Group]] = {}
        for each in (self, other):
            at = np.searchsorted(ids, each.class_ids)
            counts[at] += each.class_counts
            sums[at] += each.class_sums
            for key, group in zip(at.tolist() if self.by_class else [0], each.groups, strict=True):
                apart.setdefault(key, []).append(group)
        groups = tuple(reduce(Group.__add__, apart[key]) for key in sorted(apart))
        return replace(
            self,
            n=self.n + other.n,
            epsilon=max(self.epsilon, other.epsilon),
            class_ids=ids,
            class_counts=counts,
            class_sums=sums,
            groups=groups,
        )

    def about(self, shift: np.ndarray) -> "Moments":
        """The same moments about another shift (d + k,)."""
        sums = self.class_sums + self.class_counts[:, None] * (self.shift - shift)[: self.d]
        return replace(self, shift=shift, class_sums=sums)

    def only_classes(self, class_ids: Sequence[int]) -> "Moments":
        """The moments of the samples of some classes.

        Raises:
            BadSample: when the sums of the classes were not kept apart.
        """
        if not self.by_class:
            raise BadSample("these moments are of all classes together; keep by_class=True to take some of them.")
        at = np.flatnonzero(np.isin(self.class_ids, class_ids))
        groups = tuple(self.groups[i] for i in at)
        shift = groups[0].shift
        return replace(
            self,
            n=int(self.class_counts[at].sum()),
            shift=shift,
            class_ids=self.class_ids[at],
            class_counts=self.class_counts[at],
            class_sums=np.stack([group.sums(shift)[: self.d] for group in groups]),
            groups=groups,
        )

    @property
    def reads(self) -> str:
        """What these moments can give, of ``registry.READS``."""
        return "class_moments" if self.by_class else "moments"

    # --- storage -------------------------------------------------------------------------------------------------

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it as named arrays, for a file; :meth:`from_arrays` is the way back."""
        roots = [reduced(group.root, full=1) for group in self.groups]
        return {
            "counts": np.array([self.n, self.d, self.k, self.by_class], np.int64),
            "shift": self.shift,
            "epsilon": np.array([self.epsilon]),
            "class_ids": self.class_ids,
            "class_counts": self.class_counts,
            "class_sums": self.class_sums,
            "root": np.concatenate(roots),
            "root_rows": np.array([len(root) for root in roots], np.int64),
            "shifts": np.stack([group.shift for group in self.groups]),
            "cubic": np.stack([group.cubic for group in self.groups]),
            "quartic": np.array([group.quartic for group in self.groups]),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "Moments":
        """The moments that :meth:`arrays` wrote."""
        n, d, k, by_class = arrays["counts"].tolist()
        roots = np.split(arrays["root"], np.cumsum(arrays["root_rows"])[:-1])
        groups = tuple(
            Group(shift, root, cubic, float(quartic))
            for shift, root, cubic, quartic in zip(
                arrays["shifts"], roots, arrays["cubic"], arrays["quartic"], strict=True
            )
        )
        named = {name: arrays[name] for name in ("shift", "class_ids", "class_counts", "class_sums")}
        return cls(n=n, d=d, k=k, epsilon=float(arrays["epsilon"][0]), groups=groups, by_class=bool(by_class), **named)

    # --- what a feature set reads ----------------------------------------------------------------------------------

    @cached_property
    def _offset(self) -> np.ndarray:
        """(d + k,) the mean, about the shift."""
        return sum((group.sums(self.shift) for group in self.groups), np.zeros(self.d + self.k)) / self.n

    @cached_property
    def _steps(self) -> np.ndarray:
        """(groups, d + k) from the mean of all to that of each group."""
        if len(self.groups) == 1:
            return np.zeros((1, self.d + self.k))
        return np.stack([group.mean - self.shift for group in self.groups]) - self._offset

    @property
    def _sizes(self) -> np.ndarray:
        """(groups,) how many samples each has."""
        return self.class_counts if self.by_class else np.array([self.n])

    @property
    def _between(self) -> np.ndarray:
        """(groups, d + k) a root of what the groups' means add to the centred sums."""
        return np.sqrt(self._sizes)[:, None] * self._steps

    @cached_property
    def _root(self) -> np.ndarray:
        """(m, d + k) R with RᵀR the centred sums over all samples, at most d + k rows."""
        root = np.concatenate([*(across(group.root) for group in self.groups), self._between])
        return triangular(root) if len(root) > root.shape[1] else root

    @cached_property
    def mean(self) -> np.ndarray:
        """(d,) the mean feature."""
        return read_only(self.shift[: self.d] + self._offset[: self.d])

    @property
    def targets_mean(self) -> np.ndarray:
        """(k,) the mean target."""
        return self.shift[self.d :] + self._offset[self.d :]

    @property
    def targets_norms(self) -> np.ndarray:
        """(k,) Σ (y - mean)²."""
        return np.sum(self._root[:, self.d :] ** 2, axis=0)

    @cached_property
    def centred_class_sums(self) -> np.ndarray:
        """(C, d) Σ (x - mean) over each class."""
        return read_only(self.class_sums - self.class_counts[:, None] * self._offset[: self.d])

    @cached_property
    def centred_norm2(self) -> float:
        """Σ |x - mean|²."""
        within = sum(float(np.trace(group.scatter)) for group in self.groups)
        return within + float(np.sum(self._between[:, : self.d] ** 2))

    @cached_property
    def fourth_moment(self) -> float:
        """Σ |x - mean|⁴, from the sums of each group about its own mean."""
        total = 0.0
        for group, size, step in zip(self.groups, self._sizes, self._steps[:, : self.d], strict=True):
            cubic, quartic = group.centred
            length = float(step @ step)
            total += quartic + 4 * float(cubic @ step) + 2 * length * float(np.trace(group.scatter))
            total += 4 * float(step @ group.scatter @ step) + float(size) * length**2
        return total

    @cached_property
    def scatter(self) -> np.ndarray:
        """(d, d) centred XᵀX: the sum of those of the groups, and what their means add."""
        between = self._between[:, : self.d]
        total = between.T @ between
        for group in self.groups:
            total += group.scatter
        return read_only(total)

    @cached_property
    def target_cross(self) -> np.ndarray:
        """(d, k) centred XᵀY."""
        return read_only(self._root[:, : self.d].T @ self._root[:, self.d :])

    @property
    def lower_scatter(self) -> np.ndarray:
        """(d, d) the scatter, of which a reader may use the lower triangle alone."""
        return self.scatter

    def decompose(self, tolerance: float) -> Decomposition:
        """The decomposition of the centred features, cut at ``tolerance``; it has no left singular vectors.

        Its cost does not depend on the number of samples: by the scatter, where that can be trusted.
        """
        found = by_scatter(self.scatter, tolerance)
        if found is None:
            _, values, right = np.linalg.svd(self._root[:, : self.d], full_matrices=False)
            rank = int(np.sum(values > tolerance))
            found = values[:rank], right[:rank].T
        values, axes = found
        return Decomposition(read_only(values), given_axes=read_only(np.ascontiguousarray(axes)), times=self.times)

    def class_covariances(self, axes: np.ndarray | None, diagonal: bool) -> np.ndarray:
        """(C, k, k), or (C, k) when ``diagonal``: population covariances in each class, on ``axes`` (d, k) or all."""
        out = []
        for group, count in zip(self._classes(), self.class_counts, strict=True):
            if axes is None:
                out.append((np.diagonal(group.scatter) if diagonal else group.scatter) / count)
            elif diagonal:
                out.append(group.squares_along(axes) / count)
            else:
                root = across(group.root)[:, : self.d] @ axes
                out.append(root.T @ root / count)
        return np.stack(out)

    def class_values(self, axes: np.ndarray) -> list[np.ndarray]:
        """C arrays: the singular values of each class's rows less the mean of all, on ``axes`` (d, k)."""
        found = []
        for group in self._classes():
            step = (group.shift - self.shift - self._offset)[: self.d]
            root = group.root[:, 1 : self.d + 1] + np.outer(group.root[:, 0], step)
            found.append(np.linalg.svd(root @ axes, compute_uv=False))
        return found

    def class_log_determinants(self, scale: float) -> np.ndarray:
        """(C,) log det(I + scale/n_c Z_cᵀ Z_c), Z_c the rows of a class less the mean of all.

        NaN where the scatter is so large that no digits of I are left.
        """
        out = []
        for group, count in zip(self._classes(), self.class_counts, strict=True):
            step = (group.shift - self.shift - self._offset)[: self.d]
            root = group.root[:, 1 : self.d + 1] + np.outer(group.root[:, 0], step)
            gram = root @ root.T if len(root) <= self.d else root.T @ root
            sign, logarithm = np.linalg.slogdet(np.eye(len(gram)) + scale / count * gram)
            out.append(logarithm if sign > 0 else np.nan)
        return np.array(out)

    def times(self, matrix: np.ndarray) -> np.ndarray:
        """Refused: there are no rows."""
        raise BadSample(
            "only the moments of these features are stored, and this metric reads them sample by sample. Run the "
            "forward pass with its rows kept."
        )

    transposed_times = times

    def _classes(self) -> tuple[Group, ...]:
        if not self.by_class:
            raise BadSample(
                "the moments of these features are of all classes together, and this metric needs those of each "
                "class. Keep them apart (by_class=True), or keep the rows."
            )
        return self.groups
