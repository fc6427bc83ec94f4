"""Source size: the trivial baseline that the larger model transfers better."""

import math

from tmbench.metrics.registry import TASKS, metric
from tmbench.metrics.sample import BadSample, Sample


@metric(tasks=TASKS, needs=("source",), facts=("parameters",), kind="baseline")
def source_size(sample: Sample) -> float:
    """log10 of the number of the source's parameters.

    sample.source["parameters"]: a number above 0. It knows nothing of the target: what a metric must beat.
    """
    parameters = float(sample.source["parameters"])
    if not parameters > 0:
        raise BadSample(f"the source's fact 'parameters' is {parameters:g}; it must be above 0.")
    return math.log10(parameters)
