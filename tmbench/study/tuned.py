"""What a sweep's ``tuning`` wants next: a pure function of the plan and of the records that there are."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tmbench.engine.batches import Batch
from tmbench.engine.records import Records
from tmbench.errors import ConfigError
from tmbench.study.tuning import Grid, Setting, Stage, applied, grown, points_of

if TYPE_CHECKING:
    from tmbench.study.plan import Plan
    from tmbench.study.work import TruthWork

DIVERGED = "nan"
"""The failure that counts as the worst result: at that point of the grid training is not possible."""


MOST_NAMED = 5
"""So many sources and targets are named in a sentence."""


@dataclass(frozen=True)
class Search:
    """One stage for one source on one target.

    Attributes:
        source, target: names.
        stage: of the sweep.
        measure: what the points are compared by.
        grid: as far as it is known; of an inherited choice the grid has no points.
        before: what earlier stages have chosen.
        batches: the fine-tunings of the grid's points, in their order.
        values: what each came to; None where it is awaited, −inf where it diverged.
        giver: the source that the choice is inherited from; "" for a grid of its own.
    """

    source: str
    target: str
    stage: Stage
    measure: str
    grid: Grid
    before: Setting
    batches: tuple[Batch, ...] = ()
    values: tuple[float | None, ...] = ()
    giver: str = ""

    @property
    def chosen(self) -> Setting | None:
        """What this stage and those before it have chosen, None while results are awaited."""
        return None if self.grid.best is None else {**self.before, **self.grid.best}

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows of the table ``tuning``: one a point, one for an inherited choice."""
        base = {"source": self.source, "target": self.target, "stage": self.stage.name, "recipe": self.stage.recipe}
        points: Sequence[Setting] = self.grid.points if self.batches else [self.grid.best or {}]
        values = self.values or (None,)
        for point, value in zip(points, values, strict=True):
            is_best = self.grid.best is not None and dict(point) == dict(self.grid.best)
            done = "inherited" if self.giver else "to do" if value is None else "done"
            yield {
                **base,
                **{axis: {**self.before, **point}.get(axis) for axis in ("learning_rate", "weight_decay", "drop_path")},
                "measure": self.measure,
                "value": None if value is None or value == -float("inf") else value,
                "state": "diverged" if value == -float("inf") else done,
                "best": "yes" if is_best else "no",
                "edge": ", ".join(self.grid.edge) if is_best else "",
                "inherited_from": self.giver,
            }


def searches(plan: "Plan", records: Records, work: "TruthWork") -> dict[tuple[str, str], list[Search]]:
    """(source, target) → its stages as far as they are known: those after an awaited choice are left out.

    Raises:
        ConfigError: for a recipe that has not what a stage varies, or a source whose choice nobody gives.
    """
    made = _Searches(plan, records, work)
    return {cell: made.of(*cell) for cell in plan.cells}


class _Searches:
    def __init__(self, plan: "Plan", records: Records, work: "TruthWork") -> None:
        self._plan, self._records, self._work = plan, records, work
        self._known: dict[tuple[str, str], list[Search]] = {}

    def of(self, source: str, target: str) -> list[Search]:
        """The stages of one cell."""
        if (source, target) not in self._known:
            found: list[Search] = []
            before: Setting | None = {}
            for number, stage in enumerate(self._plan.sweep.tuning):
                if before is None:
                    break
                search = self._stage(source, target, stage, number, before)
                if search is None:
                    break
                found.append(search)
                before = search.chosen
            self._known[source, target] = found
        return self._known[source, target]

    def _stage(self, source: str, target: str, stage: Stage, number: int, before: Setting) -> Search | None:
        """A stage; None where its giver has not come so far."""
        task = self._plan.options.target[target].task
        recipe = self._plan.options.recipe[task, stage.recipe]
        for axis, name in (("drop_path", "vit"), ("weight_decay", "weight_decay")):
            if axis in stage.axes and not hasattr(recipe, name):
                raise ConfigError(
                    f"sweep {self._plan.sweep.name}: stage '{stage.name}' varies {axis}, which the {task} recipe "
                    f"'{stage.recipe}' has not. Leave it out of 'tuning'."
                )
        measure = f"validation_{recipe.measure}"
        giver = self._giver(source, target, stage)
        if giver:
            given = self.of(giver, target)[number : number + 1]
            if not given or given[0].grid.best is None:
                return None
            return Search(source, target, stage, measure, Grid({}, given[0].grid.best), before, giver=giver)

        def batch(point: Setting) -> Batch:
            return self._work.tuning(source, target, stage, applied(recipe, {**before, **point}), point)

        def result(point: Setting) -> float | None:
            return self._value(batch(point).ids[0], measure)

        grid = grown(stage, result)
        points = points_of(grid.axes)
        values = tuple(result(point) for point in points)
        return Search(source, target, stage, measure, grid, before, tuple(map(batch, points)), values)

    def _value(self, id: str, measure: str) -> float | None:
        if self._records.failure(id) == DIVERGED:
            return -float("inf")
        value = self._records.value(id, measure)
        if value is None and id in self._records.done:
            raise ConfigError(f"the record of truth {id[:12]} has no {measure}, which tuning chooses by.")
        return value

    def _giver(self, source: str, target: str, stage: Stage) -> str:
        """The source whose choice is taken over; "" where the source has a grid of its own."""
        sources = self._plan.options.source
        family = stage.inherit.get(sources[source].family)
        if family is None:
            return ""
        word = sources[source].initialised_by
        found = [
            name
            for name, other in sources.items()
            if other.family == family and other.initialised_by == word and (name, target) in self._plan.cells
        ]
        if not word or len(found) != 1:
            raise ConfigError(
                f"sweep {self._plan.sweep.name}: source '{source}' (initialisation '{word}') takes over the choice of "
                f"stage '{stage.name}' from family '{family}', which has {len(found)} sources of that initialisation "
                f"on target '{target}' and needs one."
            )
        return found[0]


def tuned_truths(plan: "Plan", records: Records, work: "TruthWork") -> Iterator[Batch]:
    """The fine-tunings that are wanted so far: of every grid, and the truths of what all stages have chosen."""
    stages = len(plan.sweep.tuning)
    every = searches(plan, records, work)
    finals = [
        batch
        for (source, target), found in every.items()
        if len(found) == stages and found[-1].chosen is not None
        for batch in work.final(source, target, found[-1].chosen)
    ]
    # A point of a grid may be a truth too: it is one unit, and stands as the truth.
    taken = {id for batch in finals for id in batch.ids}
    for found in every.values():
        for search in found:
            for batch in search.batches:
                if taken.isdisjoint(batch.ids):
                    taken.update(batch.ids)
                    yield batch
    yield from finals


def stuck(plan: "Plan", records: Records) -> list[str]:
    """A sentence for each stage of the tuning in which every point diverged, for some source on some target."""
    from tmbench.study.work import truth_work

    if not plan.sweep.tuning or not records.failed:
        return []
    cells: dict[str, list[str]] = {}
    for found in searches(plan, records, truth_work(plan)).values():
        for search in found:
            if search.values and all(value == -float("inf") for value in search.values):
                cells.setdefault(search.stage.name, []).append(f"{search.source} on {search.target}")
    return [
        f"every point of stage {stage.name} diverged for {_listed(cells[stage.name])}; lower "
        f"{'its learning_rate values' if stage.learning_rate else 'the learning rate that it trains with'}."
        for stage in plan.sweep.tuning
        if stage.name in cells
    ]


def edge_notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each stage whose best point lies on the edge of its grid, from the table ``tuning``."""
    cells: dict[str, list[str]] = {}
    for row in rows:
        if row["edge"]:
            cells.setdefault(row["stage"], []).append(f"{row['source']} on {row['target']} ({row['edge']})")
    return [
        f"after all extensions the best point of stage {stage} lies on the edge of the grid for {_listed(found)}: a "
        "better one may lie beyond; give the stage more values there (tables/tuning.csv)."
        for stage, found in cells.items()
    ]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{', '.join(names[:MOST_NAMED])}{more}"


def tuning_rows(plan: "Plan", records: Records) -> list[dict[str, Any]]:
    """The rows of the table ``tuning``, by cell and stage."""
    from tmbench.study.work import truth_work

    every: Mapping[tuple[str, str], list[Search]] = searches(plan, records, truth_work(plan))
    return [row for found in every.values() for search in found for row in search.rows()]
