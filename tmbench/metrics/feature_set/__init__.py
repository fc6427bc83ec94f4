"""The feature set: what a metric scores. Features, labels and the rest, and what the metrics share.

Everything is checked once, on entry, and handed out read-only. What several metrics need is a cached property, computed
in float64 on first use, from one decomposition of the centred features. The features keep the dtype they are stored in,
because the rank of float32 features must not be counted with float64's precision.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from tmbench.metrics.feature_set.arrays import Arrays
from tmbench.metrics.feature_set.decomposition import Decomposition
from tmbench.metrics.feature_set.inputs import BadSample, on_host, read_only
from tmbench.metrics.feature_set.moments import Moments, class_moments_fit
from tmbench.metrics.feature_set.rows import Rows

SVD_ROUNDING = 32 * float(np.finfo(np.float64).eps)
"""Backward error of a float64 singular value decomposition, relative to ‖X‖_F, with a margin of 3."""


class FeatureSet(Arrays):
    """n samples of one (source, target, level), as a metric sees them.

    The arguments are those of :class:`~tmbench.metrics.feature_set.arrays.Arrays`: features, labels and the rest, or
    moments that were streamed in place of features, labels and targets.
    """

    @cached_property
    def _statistics(self) -> Rows | Moments | None:
        if self.features is None:
            return self.moments
        return Rows(self.features, self.labels)

    def __repr__(self) -> str:
        return f"FeatureSet(n={self.n}, d={self.d}, classes={self.class_count})"

    @property
    def d(self) -> int:
        """The number of features; 0 without features."""
        return 0 if self._statistics is None else self._statistics.d

    def only_classes(self, class_ids: Sequence[int]) -> "FeatureSet":
        """The samples of some classes; from moments of each class when these are all that is held.

        Raises:
            BadSample: for a class that does not occur.
        """
        unknown = np.setdiff1d(class_ids, self.class_ids)
        if len(unknown):
            raise BadSample(f"no label has the class {unknown.tolist()}; there are {self.class_ids.tolist()}.")
        if self.moments is not None:
            return FeatureSet(moments=self.moments.only_classes(class_ids), source=self.source, seeds=self.seeds)
        assert self.labels is not None
        rows = np.flatnonzero(np.isin(self.class_ids[self.labels], class_ids))
        names = set(self._arrays) - {"features"}
        given = {name: array[rows] for name in names if (array := getattr(self, name)) is not None}
        given["labels"] = self.class_ids[self.labels][rows]
        sizes = None if self.image_sizes is None else self.image_sizes[rows]
        part = FeatureSet(**given, image_sizes=sizes, source=self.source, seeds=self.seeds)
        if isinstance(self._statistics, Rows):
            part._statistics = self._statistics.only(np.searchsorted(self.class_ids, np.unique(class_ids)))
            part.features, part.epsilon = part._statistics.features, self.epsilon
            if isinstance(part.features, np.ndarray):
                read_only(part.features)
        return part

    def with_labels(self, labels: np.ndarray) -> "FeatureSet":
        """The same rows with these labels (n,) and nothing beside; the decomposition is shared."""
        other = FeatureSet(self._need("features"), labels, source=self.source, seeds=self.seeds)
        other.epsilon = self.epsilon
        other.__dict__["centred"] = self.centred
        return other

    # --- classes -----------------------------------------------------------------------------------------------

    @cached_property
    def class_counts(self) -> np.ndarray:
        """(C,) int64: n_c, each at least 1."""
        if self.moments is not None:
            return read_only(self.moments.class_counts, given=True)
        return read_only(np.bincount(self._need("labels"), minlength=self.class_count))

    @property
    def class_shares(self) -> np.ndarray:
        """(C,) float64: n_c / n."""
        return self.class_counts / self.n

    @property
    def label_entropy(self) -> float:
        """H(y) in nats."""
        return float(-np.sum(self.class_shares * np.log(self.class_shares)))

    @cached_property
    def class_rows(self) -> tuple[np.ndarray, ...]:
        """C arrays of row numbers: the samples of each class."""
        order = read_only(np.argsort(self._need("labels"), kind="stable"))
        return tuple(np.split(order, np.cumsum(self.class_counts)[:-1]))

    def class_sums(self, matrix: np.ndarray) -> np.ndarray:
        """(C, k) float64: the sum of ``matrix`` (n, k) over the samples of each class."""
        return np.stack([matrix[rows].sum(axis=0, dtype=np.float64) for rows in self.class_rows])

    @property
    def centred_class_sums(self) -> np.ndarray:
        """(C, d) float64: the sum of (x - mean) over the samples of each class."""
        self._need_labels()
        return self.statistics.centred_class_sums

    @cached_property
    def class_means(self) -> np.ndarray:
        """(C, d) float64: the mean feature of each class."""
        return read_only(self.mean + self.centred_class_sums / self.class_counts[:, None])

    def class_variances(self, axes: np.ndarray | None = None) -> np.ndarray:
        """(C, k) float64: population variances in each class, of the coordinates on ``axes`` (d, k), or of all."""
        self._need_labels()
        return self.statistics.class_covariances(axes, diagonal=True)

    def class_covariances(self, axes: np.ndarray | None = None) -> np.ndarray:
        """(C, k, k) float64: population covariances in each class, of the coordinates on ``axes`` (d, k), or of all."""
        self._need_labels()
        return self.statistics.class_covariances(axes, diagonal=False)

    def class_log_determinants(self, scale: float) -> np.ndarray:
        """(C,) float64: log det(I + scale/n_c Z_cᵀ Z_c), Z_c the rows of a class less the mean of all."""
        self._need_labels()
        return self.statistics.class_log_determinants(scale)

    # --- features ----------------------------------------------------------------------------------------------

    @property
    def statistics(self) -> Rows | Moments:
        """Where the moments come from: the rows in memory, or moments that were streamed."""
        if self._statistics is None:
            raise BadSample("this sample has no features; a metric that reads them declares needs=('features', ...).")
        return self._statistics

    @cached_property
    def features64(self) -> np.ndarray:
        """(n, d) NumPy float64: all features, for a metric that reads the rows."""
        return read_only(on_host(self._need("features")).astype(np.float64, copy=False), given=True)

    @property
    def mean(self) -> np.ndarray:
        """(d,) float64: the mean feature."""
        return self.statistics.mean

    @property
    def fourth_moment(self) -> float:
        """Σ |x - mean|⁴."""
        return self.statistics.fourth_moment

    @property
    def scatter(self) -> np.ndarray:
        """(d, d) float64: centred XᵀX. With n < d prefer :attr:`centred`."""
        return self.statistics.scatter

    @property
    def within_scatter(self) -> np.ndarray:
        """(d, d) float64: the sum over classes of the scatter about the class's own mean."""
        sums = self.centred_class_sums
        return self.scatter - (sums / self.class_counts[:, None]).T @ sums

    @cached_property
    def norm(self) -> float:
        """‖X‖_F, X as stored and before centring."""
        return float(np.sqrt(self.statistics.centred_norm2 + self.n * (self.mean @ self.mean)))

    @property
    def rank_tolerance(self) -> float:
        """eps(dtype stored) · ‖X‖_F, X as stored and before centring: singular values up to it are rounding.

        For float64 features the rounding of the decomposition itself is the larger: on tall matrices with repeated
        rows LAPACK leaves up to 10 · eps · ‖X‖_F where there should be 0.
        """
        return float(max(self.epsilon, SVD_ROUNDING) * self.norm)

    @cached_property
    def centred_features(self) -> np.ndarray:
        """(n, d) float64: X minus its mean; a constant feature becomes exactly 0."""
        first = self.features64[0]
        shifted = self.features64 - first
        return read_only(shifted - shifted.mean(axis=0))

    @cached_property
    def centred(self) -> Decomposition:
        """The decomposition of the centred features; its rank is at most min(n-1, d)."""
        return self.statistics.decompose(self.rank_tolerance)

    @property
    def is_decomposed(self) -> bool:
        """Whether :attr:`centred` has been computed, so that reading it costs nothing."""
        return "centred" in self.__dict__

    @cached_property
    def coordinates(self) -> np.ndarray:
        """(n, p) float64: an isometric copy of the centred features, p = d; with n ≤ d p is their rank."""
        return self.centred_features if self.d < self.n else read_only(self.centred.left * self.centred.values)

    @cached_property
    def class_loadings(self) -> np.ndarray:
        """(C, r) float64: the sum over each class of the rows of ``centred.left``."""
        basis = self.centred
        if basis.given_left is not None:
            return read_only(self.class_sums(basis.given_left))
        return read_only((self.centred_class_sums @ basis.axes) / basis.values)

    @cached_property
    def target_loadings(self) -> np.ndarray:
        """(k, r) float64: the coordinates of the centred targets on the columns of ``centred.left``."""
        self._need_targets()
        if self.targets is not None and self.centred.given_left is not None:
            return self.loadings(self.targets)
        return read_only((self.target_cross.T @ self.centred.axes) / self.centred.values)

    @cached_property
    def target_cross(self) -> np.ndarray:
        """(d, k) float64: the transposed centred features times the centred targets."""
        self._need_targets()
        if self.moments is not None:
            return self.moments.target_cross
        assert self.targets is not None
        return read_only(self.statistics.transposed_times(self.targets - self.targets_mean))

    def loadings(self, columns: np.ndarray) -> np.ndarray:
        """(k, r) float64: the coordinates of ``columns`` (n, k), centred, on the columns of ``centred.left``."""
        basis = self.centred
        shifted = columns - columns[0]
        centred = shifted - shifted.mean(axis=0)
        if basis.given_left is not None:
            return read_only(centred.T @ basis.given_left)
        return read_only((self.statistics.transposed_times(centred).T @ basis.axes) / basis.values)

    @cached_property
    def mean_loadings(self) -> np.ndarray:
        """(r,) float64: the coordinates of the mean feature on the principal axes."""
        basis = self.centred
        if basis.given_left is None:
            return read_only(basis.axes.T @ self.mean)
        assert basis.times is not None
        return read_only(basis.given_left.T @ basis.times(self.mean[:, None])[:, 0] / basis.values)

    @cached_property
    def mean_outside(self) -> float:
        """|mean - V Vᵀ mean|², of the mean feature outside the principal axes; 0 where rounding may be all of it.

        The direction counts when its singular value in the uncentred features does, which is that of a Schur
        complement.
        """
        basis, along = self.centred, self.mean_loadings
        if basis.rank == self.d:
            return 0.0
        length = float(self.mean @ self.mean)
        square = length - float(along @ along)
        if square < 1e-4 * length:  # a difference of large numbers: by the vectors
            outside = self.mean - basis.axes @ along
            outside -= basis.axes @ (basis.axes.T @ outside)  # axes of small singular values are not quite orthogonal
            square = float(outside @ outside)
        shared = 1 + self.n * np.sum((along / basis.values) ** 2)
        return square if self.n * square > self.rank_tolerance**2 * shared else 0.0

    @cached_property
    def targets_mean(self) -> np.ndarray:
        """(k,) float64: the mean target."""
        self._need_targets()
        if self.moments is not None:
            return read_only(self.moments.targets_mean)
        assert self.targets is not None
        return read_only(self.targets[0] + (self.targets - self.targets[0]).mean(axis=0))

    @cached_property
    def targets_norms(self) -> np.ndarray:
        """(k,) float64: Σ (y - mean)² of each target."""
        self._need_targets()
        if self.moments is not None:
            return read_only(self.moments.targets_norms)
        return read_only(np.sum((self.targets - self.targets_mean) ** 2, axis=0))

    def principal_axes(self, *, count: int | None = None, variance: float | None = None) -> np.ndarray:
        """(d, k) float64: the leading principal axes; see :meth:`principal_components` for k."""
        return self.centred.axes[:, : self._kept(count, variance)]

    def principal_components(self, *, count: int | None = None, variance: float | None = None) -> np.ndarray:
        """(n, k) float64: coordinates of the centred features on their leading principal axes.

        Args:
            count: k; columns beyond the rank are 0, as the projection on any further axis is.
            variance: the share of the variance to exceed: k is the smallest number that does, at most the rank.

        The sign of an axis is fixed by its largest coordinate, so that the order of samples does not matter.
        """
        kept = self._kept(count, variance)
        basis = self.centred
        if basis.given_left is not None:
            coordinates = basis.given_left[:, :kept] * basis.values[:kept]
        else:
            coordinates = self.project(basis.axes[:, :kept])
        if coordinates.size:
            peaks = np.take_along_axis(coordinates, np.abs(coordinates).argmax(axis=0)[None, :], axis=0)
            coordinates = coordinates * np.sign(peaks)
        if count is not None and coordinates.shape[1] < count:
            coordinates = np.pad(coordinates, ((0, 0), (0, count - coordinates.shape[1])))
        return coordinates

    def _kept(self, count: int | None, variance: float | None) -> int:
        kept = self.centred.rank
        if variance is not None and kept:
            power = np.cumsum(self.centred.values**2)
            kept = min(kept, int(np.searchsorted(power, variance * power[-1], side="right")) + 1)
        return kept if count is None else min(kept, count)

    def project(self, matrix: np.ndarray) -> np.ndarray:
        """(n, k) float64: the centred features times ``matrix`` (d, k), in blocks."""
        self._need("features")
        return self.statistics.times(matrix)


def class_moments(sample: FeatureSet) -> FeatureSet:
    """``sample`` for metrics that read moments alone, so that many of its class subsets are cheap.

    Made once, it gives each :meth:`FeatureSet.only_classes` at a cost that does not depend on the number of samples;
    the subsets share what each class adds. ``sample`` itself where it holds no rows, has no labels, or so many classes
    that their moments would not fit the budget.
    """
    if sample.features is None or sample.labels is None or not class_moments_fit(sample.class_count, sample.d):
        return sample
    moments = Moments.of(sample.features, sample.class_ids[sample.labels], sample.targets, by_class=True)
    return FeatureSet(moments=replace(moments, epsilon=sample.epsilon), source=sample.source, seeds=sample.seeds)
