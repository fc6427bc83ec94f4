"""The truths themselves, without any metric: what each source reached, beside other initialisations and sizes of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tmbench.stats.cells import Array, Cells
from tmbench.stats.reliability import seed_variance

SUPERVISED, RANDOM_START = "supervised", "random"
"""The initialisations that others are compared with."""

CLEAR_P = 0.05
"""Sources of which chance alone would spread the means as far with a larger probability are not said to differ."""


@dataclass(frozen=True)
class Runs:
    """The fine-tunings of one source on one target by one recipe, by one measure.

    Attributes:
        target, recipe, source: names.
        initialisation: what the source's weights are the result of; "" where nobody said.
        family: of the source; "" where it has none.
        size: its number of parameters, NaN where unknown.
        schedule: epochs of the recipe, NaN where it has none.
        protocol: equal for recipes that differ in their epochs alone.
        measure: what was measured; more is better.
        values: (seeds,) float64, NaN where a run is missing.
    """

    target: str
    recipe: str
    source: str
    initialisation: str
    family: str
    size: float
    schedule: float
    protocol: str
    measure: str
    values: Array

    @property
    def mean(self) -> float:
        """Over the seeds that there are; NaN without any."""
        there = self.values[~np.isnan(self.values)]
        return float(there.mean()) if len(there) else np.nan


@dataclass(frozen=True)
class TruthRow:
    """A row of the table of truths.

    Attributes:
        target, source, initialisation, family, size, recipe, schedule, measure: as :class:`Runs` has them.
        mean, sd: over seeds; the deviation with n − 1, NaN with one seed.
        seeds, missing: how many runs there are, and are not.
        to_supervised, to_random: mean less that of the supervised, and of the random start of the same family
            (their mean where there are several).
        from_smaller: mean less that of the same initialisation in the next smaller family.
        epochs_to_supervised: of the recipes that differ in epochs alone, the fewest with which the source reaches what
            the supervised start reaches with the most; NaN where it does not.
        p: of a one-way analysis of variance over the sources of this target, recipe and measure, ``differ_p``.
        differ: ``yes``, or ``no`` where sources do not differ beyond the spread of seeds; "" where that is unknown.
    """

    target: str
    source: str
    initialisation: str
    family: str
    size: float
    recipe: str
    schedule: float
    measure: str
    mean: float
    sd: float
    seeds: int
    missing: int
    to_supervised: float
    to_random: float
    from_smaller: float
    epochs_to_supervised: float
    p: float
    differ: str


def runs_of_cells(cells: Cells) -> list[Runs]:
    """The runs of each cell, which knows nothing of initialisations and schedules."""
    assert cells.sizes is not None
    ranked, found = cells.direction == "source_selection", []
    for recipe, name in enumerate(cells.recipes):
        for query, candidate in np.argwhere(cells.eligible).tolist():
            pair = cells.queries[query], cells.candidates[candidate]
            target, source = pair if ranked else pair[::-1]
            family = cells.families[candidate] if ranked else ""
            size = float(cells.sizes[candidate])
            values = cells.truth[recipe, query, candidate]
            measure = cells.truth_measure or "truth"
            found.append(Runs(target, name, source, "", family, size, np.nan, name, measure, values))
    return found


def truth_rows(every: Sequence[Runs]) -> list[TruthRow]:
    """A row for each of ``every``, in their order."""
    p = {place: differ_p([runs.values for runs in group]) for place, group in _grouped(every, "recipe").items()}
    peers = _grouped(every, "recipe", "family")
    alike = _grouped(every, "recipe", "initialisation")
    schedules = _grouped(every, "protocol", "family")
    return [
        _row(
            runs,
            p[_place(runs, "recipe")],
            peers[_place(runs, "recipe", "family")],
            alike[_place(runs, "recipe", "initialisation")],
            schedules[_place(runs, "protocol", "family")],
        )
        for runs in every
    ]


def differ_p(values: Sequence[Array]) -> float:
    """How probable it is that sources which are all alike spread as these do: one-way analysis of variance, F test.

    Args:
        values: one array (seeds,) a source, NaN where a run is missing.

    Returns:
        p in 0..1; NaN with fewer than two sources, or where none has two runs.

    Fisher, Statistical Methods for Research Workers, 1925, chapter VII. It takes the spread over seeds for normal and
    the same for every source.
    """
    from scipy.special import fdtrc

    truth = np.stack(values) if len(values) else np.empty((0, 1))
    truth = truth[~np.isnan(truth).all(axis=1)]
    within, between_share = seed_variance(truth)
    if len(truth) < 2 or np.isnan(within):
        return np.nan
    if np.isnan(between_share):
        return 1.0  # all means are equal
    if within == 0:
        return 0.0
    free = int(((~np.isnan(truth)).sum(axis=1) - 1).sum())
    return float(fdtrc(len(truth) - 1, free, 1 / (1 - between_share)))


def _place(runs: Runs, *names: str) -> tuple[str, ...]:
    return (runs.target, runs.measure, *(getattr(runs, name) for name in names))


def _grouped(every: Sequence[Runs], *names: str) -> dict[tuple[str, ...], list[Runs]]:
    """The runs of each target and measure that agree in ``names``."""
    found: dict[tuple[str, ...], list[Runs]] = {}
    for runs in every:
        found.setdefault(_place(runs, *names), []).append(runs)
    return found


def _row(runs: Runs, p: float, peers: list[Runs], alike: list[Runs], schedules: list[Runs]) -> TruthRow:
    there = runs.values[~np.isnan(runs.values)]
    return TruthRow(
        target=runs.target,
        source=runs.source,
        initialisation=runs.initialisation,
        family=runs.family,
        size=runs.size,
        recipe=runs.recipe,
        schedule=runs.schedule,
        measure=runs.measure,
        mean=runs.mean,
        sd=float(there.std(ddof=1)) if len(there) > 1 else np.nan,
        seeds=len(there),
        missing=len(runs.values) - len(there),
        to_supervised=runs.mean - _mean_of(peers, SUPERVISED),
        to_random=runs.mean - _mean_of(peers, RANDOM_START),
        from_smaller=runs.mean - _smaller(runs, alike),
        epochs_to_supervised=_epochs(runs, schedules),
        p=p,
        differ="" if np.isnan(p) else "yes" if p < CLEAR_P else "no",
    )


def _mean_of(peers: Sequence[Runs], initialisation: str) -> float:
    """The mean truth of an initialisation; NaN where a source of it has none, or there is no such source."""
    means = [runs.mean for runs in peers if runs.initialisation == initialisation]
    return float(np.mean(means)) if means else np.nan


def _smaller(runs: Runs, alike: Sequence[Runs]) -> float:
    """The mean truth of the same initialisation in the next smaller family; NaN where there is none."""
    smaller = [one for one in alike if one.family and one.family != runs.family and one.size < runs.size]
    if not runs.initialisation or not runs.family or not smaller:
        return np.nan
    nearest = max(smaller, key=lambda one: one.size).family
    return float(np.mean([one.mean for one in smaller if one.family == nearest]))


def _epochs(runs: Runs, schedules: Sequence[Runs]) -> float:
    """The fewest epochs with which a source reaches what the supervised start reaches with the most."""
    supervised = [one for one in schedules if one.initialisation == SUPERVISED and not np.isnan(one.schedule)]
    if not supervised:
        return np.nan
    most = max(one.schedule for one in supervised)
    goal = _mean_of([one for one in supervised if one.schedule == most], SUPERVISED)
    return min(_reaching(runs.source, schedules, goal), default=np.nan)


def _reaching(source: str, schedules: Sequence[Runs], goal: float) -> Iterator[float]:
    for one in schedules:
        if one.source == source and not np.isnan(one.schedule) and one.mean >= goal:
            yield one.schedule
