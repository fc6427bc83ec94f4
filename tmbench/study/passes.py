"""Forward passes: one for each source and data set, with the scores that all cells of the two are owed from it.

Sources that are one network cut at different modules share a pass, and so do targets that are parts of one data set.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tmbench.engine.batches import Batch, Owed
from tmbench.engine.passes import is_own, more_read
from tmbench.engine.units import VERSIONS, key_id
from tmbench.features.options import Level
from tmbench.functions import portable
from tmbench.metrics.registry import READS
from tmbench.sources.options import Source
from tmbench.study.shares import SourceParts, TargetParts, included

if TYPE_CHECKING:
    from tmbench.study.plan import Plan

Cell = tuple[SourceParts, TargetParts]


def passes(plan: "Plan", sources: Mapping[str, SourceParts], targets: Mapping[str, TargetParts]) -> Iterator[Batch]:
    """One unit for each pass, in the order of the first cell of each."""
    whole_sources = {name: _whole_source(parts) for name, parts in sources.items()}
    whole_targets = {name: _whole_target(parts) for name, parts in targets.items()}
    read_keys = {name: portable(parts.target.key_of_passes()) for name, parts in whole_targets.items()}
    scores = _Scores(plan)
    shared: dict[str, list[tuple[str, str]]] = {}
    keys: dict[str, dict[str, Any]] = {}
    for source, target in plan.scored_cells:
        run, read = whole_sources[source], whole_targets[target]
        key = {"stage": "features", "version": VERSIONS["features"], "source": run.key, "target": read_keys[target]}
        id = key_id(key)
        keys[id] = key
        shared.setdefault(id, []).append((source, target))
    for id, cells in shared.items():
        source, target = cells[0]
        run, read = whole_sources[source], whole_targets[target]
        owed = scores.of_pass(cells)
        name = target if len(cells) == 1 else plan.options.groups.get(target, target)
        yield Batch(
            "features",
            f"{source} → {name}",
            keys[id],
            {"source": run.config, "target": read.config, "layers": owed.layers, "own_layers": owed.own_layers},
            (id,),
            source,
            target,
            minutes=0.02,
            resources=run.source.resources,
            after=run.after,
            owed=owed.scores,
            scores=(tuple([score.open_key.id(f'"{id}"') for score in owed.scores]),),
        )


def _whole_source(parts: SourceParts) -> SourceParts:
    """The source that the pass runs."""
    whole = parts.source.whole()
    return parts if whole == parts.source else SourceParts(parts.name, whole)


def _whole_target(parts: TargetParts) -> TargetParts:
    """The data set that the pass reads."""
    whole = parts.target.whole()
    return parts if whole == parts.target else TargetParts(parts.name, whole)


@dataclass(frozen=True)
class _OwedByPass:
    """The scores that a pass owes, and what the pass has to keep for them."""

    scores: tuple[Owed, ...]
    layers: dict[str, str]
    """What of the features is kept at each place, of ``registry.READS``: all, or what these scores read."""

    @cached_property
    def own_layers(self) -> list[str]:
        """The places at which the source's own data are read."""
        return sorted({score.config["layer"] for score in self.scores if any(map(is_own, score.config["facts"]))})


class _Scores:
    """The scores that passes owe: passes of which the same metrics apply at the same levels share them."""

    def __init__(self, plan: "Plan") -> None:
        self._plan = plan
        self._every: dict[tuple[str, str, str, str], Owed] = {}
        self._known: dict[Any, _OwedByPass] = {}

    def of_pass(self, cells: Sequence[tuple[str, str]]) -> _OwedByPass:
        """What the pass that these cells share owes."""
        if len(cells) == 1:
            return self._of_one(*cells[0])
        every = [self._of_cell(source, target, named=True) for source, target in cells]
        layers: dict[str, str] = {}
        for one in every:
            for place, reads in one.layers.items():
                layers[place] = more_read(layers.get(place, ""), reads)
        return _OwedByPass(tuple(score for one in every for score in one.scores), layers)

    def _of_one(self, source: str, target: str) -> _OwedByPass:
        """What the pass of one cell owes: one object for all passes alike."""
        options = self._plan.options
        part = options.target[target].part()
        alike = (*self._wanted(source, target), options.target[target].task, options.source[source].cut_at, str(part))
        if alike not in self._known:
            self._known[alike] = self._of_cell(source, target, named=False)
        return self._known[alike]

    def _wanted(self, source: str, target: str) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
        """The levels that are read for a cell, and the metrics with the levels at which they apply."""
        plan = self._plan
        levels = tuple(
            level
            for level in plan.options.level
            if any(included(plan, source, target, recipe, level) for recipe in plan.sweep.recipe)
        )
        return levels, tuple((v, m) for v in levels for m in plan.options.metric if plan.applies(source, target, v, m))

    def _of_cell(self, source_name: str, target_name: str, named: bool) -> _OwedByPass:
        plan = self._plan
        source, target = plan.options.source[source_name], plan.options.target[target_name]
        _, pairs = self._wanted(source_name, target_name)
        scores = []
        for level, metric in pairs:
            owed = self._owed(target.task, source.cut_at, level, metric)
            if (part := target.part()) and owed.config["of_target"]:
                config = {**owed.config, "part": part, "reads": _read_of(part, owed.config["reads"])}
                owed = replace(owed, key={**owed.key, "part": part}, config=config)
            scores.append(replace(owed, source=source_name, target=target_name) if named else owed)
        return _OwedByPass(tuple(scores), self._kept(source, target.task, scores))

    def _owed(self, task: str, layer: str, level_name: str, metric_name: str) -> Owed:
        """The score of a metric at a level, on all of a target."""
        at = (task, layer, level_name, metric_name)
        if at in self._every:
            return self._every[at]
        plan = self._plan
        level = placed(plan.options.level[level_name], task, layer)
        option, metric = plan.options.metric[metric_name], plan.metrics[metric_name]
        facts, needs = metric.facts_of(option.parameters), set(metric.needs_of(option.parameters))
        key: dict[str, Any] = {"metric": metric.key(option.parameters)}
        config = {
            "function": option.function,
            "parameters": dict(option.parameters),
            "layer": "",
            "rows": "object",
            "reads": metric.reads_of(option.parameters),
            "facts": sorted(facts),
            "of_target": bool(needs - {"source"}),
        }
        # What reads no features does not depend on where they are read.
        if "features" in needs or any(map(is_own, facts)):
            key["level"] = level.key()
            config["layer"] = level.place
            config["rows"] = level.rows
        self._every[at] = Owed(level_name, metric_name, portable(key), config)
        return self._every[at]

    def _kept(self, source: Source, task: str, scores: Sequence[Owed]) -> dict[str, str]:
        plan = self._plan
        asked = READS[0] if plan.options.store.features == "moments" else READS[-1]
        places = {placed(plan.options.level[name], task, source.cut_at).place for name in plan.options.level}
        kept = dict.fromkeys(sorted(places), asked)
        for score in scores:
            if place := score.config["layer"]:
                kept[place] = more_read(kept[place], score.config["reads"])
        return kept


def _read_of(part: Mapping[str, Any], reads: str) -> str:
    """What of the features a score of ``part`` reads where one of all samples reads ``reads``.

    Some classes can be taken out of moments where those of each class are kept apart.
    """
    return more_read(reads, READS[1]) if reads and "classes" in part else reads


def placed(level: Level, task: str, layer: str) -> Level:
    """``level`` as it is read on targets of ``task`` from a whole network, for a source that is cut at ``layer``."""
    level = level.on(task)
    return level.model_copy(update={"layer": layer}) if layer and level.layer == "penultimate" else level
