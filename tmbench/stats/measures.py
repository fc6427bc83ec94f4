"""Evaluation measures: how well a metric's scores agree with the truth over a pool of candidates.

Every measure is a function of ``truth`` and ``scores``, two float arrays of shape (..., n) whose leading axes
broadcast, and returns float64 of the broadcast leading shape: one value a row. Correlations stand in
``tmbench.stats.correlations``, what a choice gains or loses in ``tmbench.stats.selection``; here is the table of all.

Policies, the same for all:

- NaN is never ranked: a NaN in either array raises ValueError. Take such rows out first (``outcomes.Evaluation`` does).
- Scores that are all equal are a failed ranking, not a missing one: the correlations are 0, and a choice gets what a
  random one gets.
- Truth that is all equal leaves nothing to rank: the correlations and the normalised regret are NaN, which is counted
  as missing. To choose the best is then no art: Rel@k and the hit are 1, the regret is 0.
- ±inf is a legal rank. What computes with the values themselves has no value for it and gives NaN: Pearson's
  correlation for an infinite truth or score, Rel@k and the regrets for an infinite truth.
- Candidates of equal score come in random order, and the value is the expected one. ``rel_at_1_first`` alone takes the
  first of them, as published code does.
- A value depends on its own row only, to the last bit, and metrics that do equally well have equal values.

A measure of your own is one such function and an option file ``conf/measure/NAME.yaml`` that names it.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from tmbench.errors import ConfigError
from tmbench.stats.columns import Array, MeasureFunction
from tmbench.stats.correlations import (
    kendall_tau,
    pearson,
    spearman,
    weighted_tau,
    weighted_tau_by_score,
    weighted_tau_by_truth,
)
from tmbench.stats.selection import normalised_regret, regret, rel_at_1, rel_at_1_first, rel_at_k, top_k_hit

__all__ = [
    "MEASURES",
    "Array",
    "Better",
    "Measure",
    "MeasureFunction",
    "bound",
    "kendall_tau",
    "normalised_regret",
    "pearson",
    "regret",
    "rel_at_1",
    "rel_at_1_first",
    "rel_at_k",
    "spearman",
    "top_k_hit",
    "weighted_tau",
    "weighted_tau_by_score",
    "weighted_tau_by_truth",
]

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Measure:
    """An evaluation measure: its name, how to print it, the range of its values, and which end of it is good.

    Attributes:
        name: of its option file.
        title: for tables and figures.
        low, high: no value lies outside.
        function: (truth (..., n), scores (..., n)) -> (...,) float64.
        better: whether a higher or a lower value is the better one.
        random: gives on constant scores what a random ranking gets; None: ``function`` does.
        ratio: a ratio of truths, which must not be negative.
    """

    name: str
    title: str
    low: float
    high: float
    function: MeasureFunction
    better: Better = "higher"
    random: MeasureFunction | None = None
    ratio: bool = False

    def at_random(self, truth: Array) -> Array:
        """What a random ranking of ``truth`` (..., n) gets, (...,)."""
        return (self.random or self.function)(truth, np.zeros_like(truth))


_FACTS = (
    Measure("weighted_tau", "weighted τ", -1.0, 1.0, weighted_tau),
    Measure("weighted_tau_by_truth", "weighted τ (by truth)", -1.0, 1.0, weighted_tau_by_truth),
    Measure("weighted_tau_by_score", "weighted τ (by score)", -1.0, 1.0, weighted_tau_by_score),
    Measure("kendall_tau", "Kendall τ", -1.0, 1.0, kendall_tau),
    Measure("spearman", "Spearman ρ", -1.0, 1.0, spearman),
    Measure("pearson", "Pearson r", -1.0, 1.0, pearson),
    Measure("rel_at_1", "Rel@1", 0.0, 1.0, rel_at_1, ratio=True),
    Measure("rel_at_1_first", "Rel@1 (first)", 0.0, 1.0, rel_at_1_first, random=rel_at_1, ratio=True),
    Measure("rel_at_k", "Rel@k", 0.0, 1.0, rel_at_k, ratio=True),
    Measure("top_k_hit", "top-k hit", 0.0, 1.0, top_k_hit),
    Measure("regret", "regret", 0.0, np.inf, regret, better="lower"),
    Measure("normalised_regret", "normalised regret", 0.0, np.inf, normalised_regret, better="lower"),
)
"""What is known of each function of this package; its k, where it has one, is yet to be chosen."""


def bound(
    name: str,
    function: Callable[..., Array],
    parameters: Mapping[str, Any] | None = None,
    title: str = "",
    better: Better = "higher",
    where: str = "",
) -> Measure:
    """The measure that an option file describes.

    Range, ``random`` and ``ratio`` of a function of this package are known and kept; a user's own has any range.

    Args:
        name: of the option.
        function: (truth, scores, **parameters) -> values.
        parameters: keyword arguments.
        title: for tables and figures; "" is the name in words, or the known title where no parameters change it.
        better: which end of the range is good.
        where: the option file, for the message.

    Raises:
        ConfigError: when ``better`` contradicts what is known of the function.
    """
    parameters = dict(parameters or {})
    facts = next((measure for measure in _FACTS if measure.function is function), None)
    if facts is None:
        facts = Measure(name, "", -np.inf, np.inf, function, better)
    elif facts.better != better:
        raise ConfigError(
            f"{where or name}: better is '{better}', but of {facts.name} the {facts.better} value is the better one. "
            f"Write 'better: {facts.better}'."
        )
    title = title or (facts.title if not parameters else "") or name.replace("_", " ")
    if parameters:
        function = functools.partial(function, **parameters)
    return replace(facts, name=name, title=title, function=function)


MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        *(measure for measure in _FACTS if measure.function not in (rel_at_k, top_k_hit)),
        bound("rel_at_3", rel_at_k, {"k": 3}, "Rel@3"),
        bound("top_1_hit", top_k_hit, {"k": 1}, "top-1 hit"),
        bound("top_3_hit", top_k_hit, {"k": 3}, "top-3 hit"),
        bound("top_5_hit", top_k_hit, {"k": 5}, "top-5 hit"),
    )
}
"""The shipped measures by name; each has an option file of the same name in conf/measure/."""
