"""Source accuracy: the trivial baseline that the model better at its own task transfers better."""

from tmbench.metrics.registry import TASKS, metric
from tmbench.metrics.sample import Sample


@metric(tasks=TASKS, needs=("source",), facts=("accuracy",), kind="baseline")
def source_accuracy(sample: Sample) -> float:
    """The accuracy that the source reached on the held-out part of what it was pretrained on.

    sample.source["accuracy"]: a number. It knows nothing of the target: what a metric must beat. Inapplicable to
    a random start, which was trained on nothing.
    """
    return float(sample.source["accuracy"])
