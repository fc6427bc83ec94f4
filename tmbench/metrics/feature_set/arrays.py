"""What comes with the features, checked: the arrays of a feature set."""

from collections.abc import Mapping
from functools import cached_property
from numbers import Real
from types import MappingProxyType
from typing import Any

import numpy as np

from tmbench.identity import Seeds
from tmbench.metrics.feature_set import inputs
from tmbench.metrics.feature_set.inputs import BadSample, on_host, read_only
from tmbench.metrics.feature_set.moments import Moments


class Arrays:
    """What is known of n samples of one (source, target, level): checked once, on entry, and read-only.

    Attributes:
        n: the number of samples.
        features: (n, d) as stored, float32 or float64, read-only; an array of another library stays on its device;
            None when not given, or when only moments are held.
        labels: (n,) int64 in 0..C-1, remapped from the ids given; None when not given.
        class_ids: (C,) the ids as given: ``class_ids[labels]`` are the labels that came in.
        targets: (n, k) float64, regression targets.
        posteriors: (n, C_s) float64, rows summing to 1: the source head's probabilities.
        predictions: (n, k_s) float64: what the source predicts, or its labels where the inputs are shared.
        boxes: (n, 4) float64, x1, y1, x2, y2 in pixels.
        image_sizes: (n, 2) float64, height and width in pixels.
        label_embeddings: (n, D, K) float64: the label of a sample as K foundation models embed it.
        source: what some metrics read of the source: 'size' (its parameters), 'accuracy', 'layers', 'features'
            (n_s, d) and 'labels' (n_s,) of its own data, 'mean' and 'std' (d,) of its features, 'targets' (n, k_s),
            what it was pretrained to predict, of these very samples, NaN where that is not known.
        seeds: the random streams of a randomised metric.
    """

    def __init__(
        self,
        features: Any = None,
        labels: Any = None,
        *,
        targets: Any = None,
        posteriors: Any = None,
        logits: Any = None,
        predictions: Any = None,
        boxes: Any = None,
        image_sizes: Any = None,
        label_embeddings: Any = None,
        source: Mapping[str, Any] | None = None,
        seeds: Seeds | None = None,
        moments: Moments | None = None,
    ) -> None:
        """Check the arrays and take read-only views of them.

        Args:
            features: (n, d) numbers. Half precision is widened to float32 and keeps its own rank tolerance.
            labels: (n,) whole numbers; ids may have gaps.
            targets: (n, k) or (n,) numbers.
            posteriors: (n, C_s) probabilities over the source's classes.
            logits: (n, C_s) in place of posteriors; -inf masks a class.
            predictions: (n, k_s) or (n,) numbers.
            boxes: (n, 4) corners x1, y1, x2, y2.
            image_sizes: (n, 2) heights and widths, or one such pair.
            label_embeddings: (n, D, K), or (n, D) of a single model.
            source: see the attribute.
            seeds: random streams; a fixed set when not given.
            moments: the moments of features, labels and targets, in place of these three.

        Raises:
            BadSample: for an array of the wrong shape, size or kind, or with values that are not finite.
        """
        if posteriors is not None and logits is not None:
            raise BadSample("both posteriors and logits are given; pass one of them.")
        if moments is not None and (features is not None or labels is not None or targets is not None):
            raise BadSample("moments stand in place of features, labels and targets; pass the one or the others.")
        self.features: Any = None
        self.epsilon = 0.0
        if features is not None:
            self.features, self.epsilon = inputs.features(features)
        self.class_ids = np.empty(0, np.int64)
        self.labels: np.ndarray | None = None
        if labels is not None:
            self.class_ids, self.labels = inputs.labels(labels)
        self.targets = None if targets is None else inputs.numbers(targets, "targets", "Drop the samples without one")
        self.posteriors = None
        if posteriors is not None:
            self.posteriors = inputs.posteriors(posteriors)
        elif logits is not None:
            self.posteriors = inputs.softmax(logits)
        self.predictions = None
        if predictions is not None:
            self.predictions = inputs.numbers(predictions, "predictions", "Look at the source's head")
        self.boxes = None if boxes is None else inputs.boxes(boxes)
        self.label_embeddings = None if label_embeddings is None else inputs.label_embeddings(label_embeddings)
        self.source: Mapping[str, Any] = MappingProxyType(_source(source))
        self.seeds = seeds or Seeds("feature set")
        self.moments = moments
        self.n = self._check_lengths()
        self.image_sizes = None if image_sizes is None else inputs.image_sizes(image_sizes, self.n)
        if self.image_sizes is not None and len(self.image_sizes) != self.n:
            raise BadSample(f"there are {len(self.image_sizes)} image_sizes for {self.n} samples; pass one a sample.")
        if moments is not None:
            self.class_ids, self.epsilon = read_only(moments.class_ids, given=True), moments.epsilon

    def _check_lengths(self) -> int:
        """The number of samples; BadSample where the arrays disagree."""
        lengths = {name: len(array) for name in self._arrays if (array := getattr(self, name)) is not None}
        if self.moments is not None:
            lengths["moments"] = self.moments.n
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{count} rows of {name}" for name, count in lengths.items())
            raise BadSample(f"the sample has {counts}; pass one row of each per sample.")
        return next(iter(lengths.values()), 0)

    _arrays = ("features", "labels", "targets", "posteriors", "predictions", "boxes", "label_embeddings")

    @property
    def class_count(self) -> int:
        """C, the number of classes that occur; 0 without labels."""
        return len(self.class_ids)

    @cached_property
    def provides(self) -> frozenset[str]:
        """Which of ``registry.NEEDS`` this set holds."""
        held = {name for name in (*self._arrays, "image_sizes") if getattr(self, name) is not None}
        if self.moments is not None:
            held |= {"features", *(["labels"] if self.class_count else []), *(["targets"] if self.moments.k else [])}
        return frozenset(held | ({"source"} if self.source else set()))

    @property
    def reads(self) -> str:
        """What of the features this set can give, of ``registry.READS``."""
        return "rows" if self.moments is None else self.moments.reads

    @property
    def absent_class_ids(self) -> np.ndarray:
        """The ids between 0 and the largest that no label has."""
        return np.setdiff1d(np.arange(self.class_ids.max(initial=-1) + 1), self.class_ids)

    def _need(self, name: str) -> Any:
        array = getattr(self, name)
        if array is None and self.moments is not None and name in self.provides:
            raise BadSample(
                f"only the moments of these features are stored, and this metric reads {name} sample by sample. "
                "Run the forward pass with its rows kept."
            )
        if array is None:
            raise BadSample(f"this sample has no {name}; a metric that reads them declares needs=('{name}', ...).")
        return array

    def _need_labels(self) -> None:
        if not self.class_count:
            self._need("labels")

    def _need_targets(self) -> None:
        if self.moments is None or not self.moments.k:
            self._need("targets")


def _source(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Facts of the source; 'parameters' is an older name of 'size'."""
    if given is not None and not isinstance(given, Mapping):
        raise BadSample(f"source is {type(given).__name__}; pass a mapping, such as source={{'accuracy': 0.71}}.")
    facts = dict(given or {})
    if "parameters" in facts:
        facts.setdefault("size", facts["parameters"])
    for name in ("size", "accuracy", "layers"):
        if facts.get(name) is not None and not isinstance(facts[name], Real):
            raise BadSample(f"the source's {name} is {facts[name]!r}; pass a number.")
    for name in ("features", "labels", "mean", "std", "targets"):
        if facts.get(name) is not None:
            facts[name] = read_only(on_host(facts[name], f"the source's {name}"), given=True)
    return facts
