"""Which metrics can score which cells at which levels: *inapplicable* is not *missing*."""

from collections.abc import Mapping

from tmbench.engine.passes import OWN_DATA
from tmbench.features.options import PREDICTION
from tmbench.metrics.registry import Metric, offered
from tmbench.sources.options import Source
from tmbench.study.compose import Options
from tmbench.targets.options import RegressionTarget, Target

POSTERIORS = {"classification": ("classification", "detection"), "segmentation": ("segmentation",)}
"""Task of a source's own head → tasks on whose samples it gives probabilities."""

PREDICTED = {"classification": ("classification", "regression"), "regression": ("classification", "regression")}
"""Task of a source's own head → tasks whose samples it predicts something of, beside its own."""


class Applicability:
    """Whether a metric applies, by the names of a sweep's options; each question is answered once."""

    def __init__(self, options: Options, metrics: Mapping[str, Metric]) -> None:
        """Take the options, and what each metric declares."""
        self._options, self._metrics = options, metrics
        self._known: dict[tuple[str, str, bool, str, str], bool] = {}

    def __call__(self, source: str, target: str, level: str, metric: str) -> bool:
        """Whether a pass of ``source`` over ``target`` can offer what ``metric`` reads at ``level``."""
        model, data = self._options.source[source], self._options.target[target]
        asked = (source, data.task, _shares_images(model, data), level, metric)
        if asked not in self._known:
            reading = self._options.level[level].on(data.task).reading
            parameters = self._options.metric[metric].parameters
            needs = self._metrics[metric].needs_of(parameters)
            facts = self._metrics[metric].facts_of(parameters)
            absent, known = _absent(model, data, reading), _known_facts(model, data)
            self._known[asked] = all(offered(fact, known) for fact in facts) and not any(
                absent.issuperset(need.split("|")) for need in needs
            )
        return self._known[asked]


def _absent(source: Source, target: Target, reading: str) -> set[str]:
    """What of a pass's offer this source has not. What no source offers was refused (``checks.check_tasks``)."""
    head = source.predicts
    absent = set() if target.task in POSTERIORS.get(head, ()) else {"posteriors"}
    if not (head == target.task == "regression"):
        absent.add("predictions")
    if reading == PREDICTION and target.task not in PREDICTED.get(head, (head,)):
        absent.add("features")
    return absent


def _known_facts(source: Source, target: Target) -> set[str]:
    """What a pass says of the source. Of a network that is cut nobody counts the parameters."""
    known = set() if source.cut_at else {"size", "layers"}
    known |= {"accuracy"} if source.tells_accuracy else set()
    known |= OWN_DATA if source.has_own_data else set()
    return known | ({"targets"} if _shares_images(source, target) else set())


def _shares_images(source: Source, target: Target) -> bool:
    """Whether the numbers that the source predicts are known of the target's own images."""
    own = source.pretrained_on
    both = isinstance(own, RegressionTarget) and isinstance(target, RegressionTarget) and not source.beside
    return both and own is not None and own.data_set() == target.data_set() and not source.layer
