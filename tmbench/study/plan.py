"""The plan: from a sweep's options to cells, setups and units, with everything refused that cannot work.

Knows no torch: what a metric needs is declared, so that a metric that does not fit is refused here and not on a node.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tmbench.engine.batches import Units
from tmbench.engine.records import Records
from tmbench.errors import ConfigError, NothingMatched
from tmbench.metrics.registry import READS, Metric, Pooled
from tmbench.sources.options import Source
from tmbench.stats.cells import Cells
from tmbench.study.applicability import Applicability
from tmbench.study.checks import (
    check_cuts,
    check_detectors,
    check_levels,
    check_options,
    check_tasks,
    check_truth,
    check_twins,
    declared,
)
from tmbench.study.compose import Options
from tmbench.study.exclusion import parts
from tmbench.study.published import FILTERS, Tables, chosen, read_tables, without_scores
from tmbench.study.resolution import resolver
from tmbench.study.scenario import Scenario
from tmbench.study.setups import Setups
from tmbench.study.sweep import Sweep
from tmbench.study.work import batches
from tmbench.targets.options import Target

LONG = 10**9
"""So many score values (setups × metrics × candidates of a pool) take about a minute on one core."""


@dataclass(frozen=True)
class Plan:
    """A study, resolved.

    Attributes:
        sweep: what was asked for.
        options: the resolved options.
        metrics: what each metric declares, by option name.
        cells: the (source, target) pairs of the study.
        units: all work, ``pretrain`` first.
        setups: the lazy table of setups.
        applies: whether a metric applies, by the names of source, target, level and metric.
        own: the (source, target) pairs left out because the source was pretrained on that very target.
        tables: the cells of a sweep of published tables, as far as its filters leave them; it has no units.
        published: what its ``exclude`` rules leave of these, each group of queries by itself, one a scenario of
            ``setups`` (``exclusion.parts``).
        notes: what the user should know about the tables, or about what is stored.
    """

    sweep: Sweep
    options: Options
    metrics: dict[str, Metric]
    cells: tuple[tuple[str, str], ...]
    units: Units
    setups: Setups
    applies: Callable[[str, str, str, str], bool]
    own: tuple[tuple[str, str], ...]
    tables: tuple[Cells, ...] = ()
    published: tuple[Cells, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        """What the setups are made of; where tables are published, in the order of ``published``."""
        return self.setups.scenarios

    @property
    def scored_cells(self) -> tuple[tuple[str, str], ...]:
        """The cells, and where the sweep asks for them a source's own targets, which have scores alone."""
        own = self.own if self.sweep.own == "scored" else ()
        return (*self.cells, *(cell for cell in own if not _is_excluded(self.sweep, *cell)))

    @property
    def compared(self) -> list[str]:
        """The metrics that compete; baselines stand beside them."""
        if self.sweep.cells:
            named = [
                pair
                for cells in self.published
                for pair in (
                    *zip(cells.metrics, cells.kinds, strict=True),
                    *((one.name, one.kind) for one in cells.combined),
                )
            ]
            return list(dict.fromkeys(name for name, kind in named if kind == "metric"))
        return [name for name, kind in self.kinds.items() if kind == "metric"]

    @property
    def kinds(self) -> dict[str, str]:
        """What each metric counts as, by option name.

        Of several options of one function the first that the sweep names competes and the others are its variants:
        beside it they would split its votes.
        """
        first: dict[str, str] = {}
        found: dict[str, str] = {}
        for name, metric in self.metrics.items():
            is_variant = metric.kind == "metric" and first.setdefault(metric.reference, name) != name
            found[name] = "variant" if is_variant else metric.kind
        return found

    @property
    def pooled(self) -> dict[str, Pooled]:
        """The metrics whose scores are formed inside each pool, and how."""
        rules = {name: self.metrics[name].pool_rule(option.parameters) for name, option in self.options.metric.items()}
        return {name: rule for name, rule in rules.items() if rule is not None}

    @property
    def why_no_setups(self) -> str:
        """What to change when no pool has two candidates that all compared metrics can score."""
        return self.why_none(self.scenarios)

    def why_none(self, scenarios: Sequence[Scenario]) -> str:
        """The same, of some of the scenarios."""
        most = max((int(scenario.eligible.sum(axis=1).max(initial=0)) for scenario in scenarios), default=0)
        queries = " or ".join(dict.fromkeys(scenario.query_axis for scenario in scenarios)) or "query"
        candidates = " or ".join(f"{axis}s" for axis in dict.fromkeys(s.candidate_axis for s in scenarios))
        found = f"at most {most} candidate{'s' * (most != 1)} of a {queries} can be scored by all compared metrics"
        add = f"Add {candidates or 'candidates'}, or leave out a metric"
        if self.sweep.pool_size and most >= 2:
            return f"{found}, so that pool.size is {most} at most here. {add}."
        if most < 2:
            return f"{found}, and a pool needs two. {add}."
        pools = [name for name in self.options.pool if name != "all"]
        return f"{found}, and pool={','.join(pools)} forms no pool of two or more from them. {add}, or say pool=all."

    def after(self, records: Records) -> "Plan":
        """This plan with the units that its tuning wants after ``records``; the same plan without a tuning."""
        return replace(self, units=Units(batches(self, records))) if self.sweep.tuning else self

    def estimated(self, minutes: Mapping[tuple[str, str, str], float]) -> "Plan":
        """This plan with better estimates of the units' cost, by their kind (``Batch.kind``)."""
        return replace(self, units=self.units.with_minutes(minutes))


def build(sweep: Sweep, options: Options, tables: Tables | None = None, checked: Sequence[str] = FILTERS) -> Plan:
    """Resolve a sweep.

    Args:
        sweep: what is asked for.
        options: its options.
        tables: published tables by the name of their option that were read already.
        checked: of published tables, the axes whose names must be found in one of them.

    Raises:
        ConfigError: for a metric that does not fit a target's task, a recipe that a task does not have, a table that
            cannot be read or has none of a name.
        NothingMatched: when no cell is left.
    """
    if sweep.cells:
        return _build_published(sweep, options, tables or {}, checked)
    check_options(options)
    metrics = {name: declared(options, name) for name in options.metric}
    check_tasks(options, metrics)
    check_levels(options, metrics)
    check_truth(sweep, options)
    check_cuts(options)
    check_twins(options, metrics)
    own = _own(options)
    cells = _included_cells(sweep, options, own)
    if not cells:
        raise NothingMatched(f"sweep {sweep.name}: no (source, target) pair is left after its 'exclude' rules.")
    check_detectors(options, cells)
    from tmbench.study.cells import collect  # which knows plans

    applies = Applicability(options, metrics)
    plan = Plan(sweep, options, metrics, cells, Units(()), _no_setups(sweep), applies, own)
    plan = replace(plan, units=Units(batches(plan, Records())), notes=_kept_rows(plan))
    if not sweep.metric:
        return plan
    scenarios = [Scenario.of(part) for part in parts(sweep, collect(plan, Records())[0])]
    return replace(plan, setups=Setups(scenarios, options.pool, sweep.measure, resolver(sweep, options, {})))


def _build_published(sweep: Sweep, options: Options, tables: Tables, checked: Sequence[str]) -> Plan:
    """The plan of a sweep whose cells stand in tables: there is nothing to run."""
    notes: list[str] = []
    check_twins(options, {})
    read = read_tables(sweep, options, tables, notes)
    tables_of = {cells.scenario: name for name, every in read.items() for cells in every}
    left = chosen(sweep, [cells for every in read.values() for cells in every], checked)
    divided = [(part, cells.scenario) for cells in left for part in parts(sweep, cells)]
    published, whole = tuple(part for part, _ in divided), dict[str, str]()
    for part, scenario in divided:
        if whole.setdefault(part.scenario, scenario) != scenario:
            raise ConfigError(
                f"sweep {sweep.name}: scenarios '{whole[part.scenario]}' and '{scenario}' would both be "
                f"'{part.scenario}' in the tables, where a group of queries is one. Give one of the two another name "
                "('scenario')."
            )
    resolved = resolver(sweep, options, {name: tables_of[scenario] for name, scenario in whole.items()})
    setups = Setups([Scenario.of(cells) for cells in published], options.pool, sweep.measure, resolved)
    notes += [*without_scores(left), *_long_work(setups, published)]
    return Plan(sweep, options, {}, (), Units(()), setups, _nothing_applies, (), left, published, tuple(notes))


def _long_work(setups: Setups, published: Sequence[Cells]) -> list[str]:
    """Say it up front when the evaluation takes minutes."""
    metrics = {
        id(scenario): len(cells.metrics) + len(cells.combined)
        for scenario, cells in zip(setups.scenarios, published, strict=True)
    }
    values = sum(block.pools * block.mean_size * len(setups.measures) * metrics[id(block.scenario)] for block in setups)
    if values <= LONG:
        return []
    return [
        f"{setups.total:,} setups rank {values / 1e9:,.1f} billion score values, for which aggregate takes minutes; "
        "pool=all is quick."
    ]


def _kept_rows(plan: Plan) -> tuple[str, ...]:
    """Say so where only moments are asked for and rows are stored all the same."""
    reads = {name: plan.metrics[name].reads_of(option.parameters) for name, option in plan.options.metric.items()}
    by_rows = [name for name, what in reads.items() if what == READS[-1]]
    if plan.options.store.features != "moments" or not by_rows:
        return ()
    verb = "reads" if len(by_rows) == 1 else "read"
    return (
        f"store.features=moments keeps the rows all the same, for {', '.join(by_rows)} {verb} the features sample by "
        f"sample. Without {'it' if len(by_rows) == 1 else 'them'} only moments are stored.",
    )


def _nothing_applies(source: str, target: str, level: str, metric: str) -> bool:
    """Of published cells: nothing is run."""
    return False


def _no_setups(sweep: Sweep) -> Setups:
    return Setups((), {}, sweep.measure)


def _is_own(source: Source, target: Target) -> bool:
    """Whether the source, or one beside it, was pretrained on the target itself; another size of it is still that."""
    return any(part.pretrained_on is not None and target.is_known_from(part.pretrained_on) for part in source.parts)


def _own(options: Options) -> tuple[tuple[str, str], ...]:
    """The (source, target) pairs whose source was pretrained on that very target."""
    return tuple(
        (s, t)
        for s, source in options.source.items()
        for t, target in options.target.items()
        if _is_own(source, target)
    )


def _included_cells(sweep: Sweep, options: Options, own: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """The pairs of which any combination with a recipe and a level is left."""
    left_out = frozenset(own)
    return tuple(
        (s, t)
        for t in options.target
        for s in options.source
        if (s, t) not in left_out and not _is_excluded(sweep, s, t)
    )


def _is_excluded(sweep: Sweep, source: str, target: str) -> bool:
    """Whether the rules leave no combination of the pair with a recipe and a level."""
    levels = sweep.level or ("",)
    return bool(sweep.exclude) and all(
        sweep.excludes(scenario=sweep.name, source=source, target=target, recipe=recipe, level=level)
        for recipe in sweep.recipe
        for level in levels
    )
