"""From rows to cells: a scenario's truths and scores put into arrays, each policy applied and counted."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tmbench.errors import ConfigError
from tmbench.stats.baselines import STATIC
from tmbench.stats.cells import OK, Cells, Combined
from tmbench.study.tables.columns import EMPTY, INFINITE, NUMBER, TEXT, axis, counted
from tmbench.study.tables.facts import Axes, numbers_of, texts_of
from tmbench.study.tables.forms import SCORE_KEYS, TRUTH_KEYS, Rows, settled
from tmbench.study.tables.options import CellsOption
from tmbench.study.tables.scores import SOURCE_ACCURACY, SOURCE_SIZE, ScoreAssembly, Stored, check_shape

Array = NDArray[np.float64]


@dataclass
class Assembly:
    """One scenario on its way to :class:`Cells`."""

    scenario: str
    truths: Rows
    scores: Rows
    option: CellsOption
    axes: Axes
    counts: dict[str, int]
    notes: list[str]
    direction: str = ""
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    places: dict[str, list[NDArray[np.int64]]] = field(default_factory=dict)
    """Of sources and targets: the place of each truth, and of each score."""

    def cells(self) -> Cells:
        """Everything, in order.

        Raises:
            ConfigError: for rows that contradict each other and for names that cannot be.
        """
        self.direction = self.option.direction or self.axes.direction or "source_selection"
        if not len(self.truths) or not (len(self.scores) or self.option.truths_only):
            lacking = "truths" if not len(self.truths) else "scores"
            raise ConfigError(f"{self.scores.view.table.path}: scenario '{self.scenario}' has no {lacking} at all.")
        measure = self._choose_measure()
        self.truths = settled(self.truths, TRUTH_KEYS, "truth")
        self.scores = settled(self.scores, SCORE_KEYS, "score")
        for name in ("source", "target"):
            columns = [self.truths.names[name], self.scores.names[name]]
            self.names[name], self.places[name] = axis(self.axes.names[name], columns)
        queries, candidates = self._pair("target", "source")
        present = np.zeros((len(queries), len(candidates)), dtype=bool)
        for table in (0, 1):
            present[self._where(table)] = True
        recipes, seeds, truth = self._truth(present.shape)
        scores = ScoreAssembly(self.scores, *self._where(1), present, self.option, self.axes, self.counts)
        levels, stored, combined = scores.nothing() if self.option.truths_only else scores.arrays()
        self._count_gaps(present, truth, stored, combined)
        sizes, sizes_of_candidates = self._sizes(), self.direction == "source_selection"
        stored = self._with_baselines(stored, present, sizes)
        self._warn_of_case(recipes, levels, stored)
        test_sizes = self._test_sizes(present)
        self._check_proportions(truth, test_sizes)
        return Cells(
            scenario=self.scenario,
            direction=self.direction,
            recipes=recipes,
            levels=levels,
            queries=queries,
            candidates=candidates,
            metrics=tuple(stored.kinds),
            kinds=tuple(stored.kinds.values()),
            truth=truth,
            scores=stored.scores,
            state=stored.state,
            families=self._families("family", candidates, self.option.families),
            random_start=np.isin(candidates, [*self.option.random_start, *self.axes.random_start]),
            static=not self.axes.direction or STATIC in self.axes.names["baseline"],
            present=present,
            # A source is a candidate in source selection only.
            sizes=np.array([sizes.get(name, np.nan) for name in candidates]) if sizes_of_candidates else None,
            query_families=self._families("query_family", queries, self.option.query_families),
            query_groups=self._groups(queries),
            test_sizes=test_sizes,
            combined=combined,
            truth_measure=measure,
            seeds=seeds,
            counts=counted(self.counts),
        )

    def _pair(self, target: str, source: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(queries, candidates) from what belongs to targets and to sources."""
        found = self.names[target], self.names[source]
        return found if self.direction == "source_selection" else (found[1], found[0])

    def _where(self, table: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The query and the candidate of each truth (0) or score (1)."""
        found = self.places["target"][table], self.places["source"][table]
        return found if self.direction == "source_selection" else (found[1], found[0])

    def _choose_measure(self) -> str:
        """The primary measure of the truth; rows of others are left out and counted."""
        column = self.truths.names["measure"]
        there = [column.names[code] for code in np.unique(column.codes)]
        wanted = self.option.measure
        if len(there) == 1 and there[0] in ("", wanted):
            return wanted
        if len(there) > 1 and not wanted:
            raise ConfigError(
                f"{self.truths.view.table.path}: scenario '{self.scenario}' has truths of {len(there)} measures: "
                f"{', '.join(map(repr, there))}. Say which one counts: measure={there[0] or there[1]}."
            )
        chosen = wanted or (there[0] if there else "")
        if chosen not in there:
            raise ConfigError(
                f"{self.truths.view.table.path}: scenario '{self.scenario}' has no truth of measure '{chosen}'. "
                f"Measures: {', '.join(there)}."
            )
        keep = column.codes == column.names.index(chosen)
        self.counts["other_measures"] = int((~keep).sum())
        self.truths = self.truths.take(keep)
        return chosen

    def _truth(self, cells: tuple[int, int]) -> tuple[tuple[str, ...], tuple[str, ...], Array]:
        """Recipes, seeds and (R, Q, N, seeds) truths."""
        rows = self.truths
        recipes, (recipe,) = axis(self.axes.names["recipe"], [rows.names["recipe"]])
        seeds, (seed,) = axis(self.axes.names["seed"], [rows.names["seed"]])
        shape = (len(recipes), *cells, len(seeds))
        check_shape(shape, self.truths)
        truth = np.full(shape, np.nan)
        holds = rows.values.holds
        number = holds == NUMBER
        truth[recipe[number], *(place[number] for place in self._where(0)), seed[number]] = rows.values.numbers[number]
        for key, kind in (("empty_truths", EMPTY), ("text_truths", TEXT), ("infinite_truths", INFINITE)):
            self.counts[key] = int((holds == kind).sum())
        return recipes, seeds, truth

    def _count_gaps(
        self, present: NDArray[np.bool_], truth: Array, stored: Stored, combined: tuple[Combined, ...]
    ) -> None:
        """What lacks its counterpart, and what cannot be ranked."""
        scored = (stored.state == OK).any(axis=(0, 1))
        for one in combined:
            scored |= (one.state == OK).any(axis=0)
        known = ~np.isnan(truth).all(axis=-1)
        self.counts["scores_without_truth"] = int((scored & ~known).sum())
        self.counts["truths_without_score"] = 0 if self.option.truths_only else int((known.any(axis=0) & ~scored).sum())
        competes = np.array([kind != "baseline" for kind in stored.kinds.values()], dtype=bool)
        scores = stored.scores[:, competes]
        high = np.where(np.isnan(scores), -np.inf, scores).max(axis=-1)
        low = np.where(np.isnan(scores), np.inf, scores).min(axis=-1)
        several = (stored.state[:, competes] == OK).sum(axis=-1) > 1
        self.counts["constant_scores"] = int((several & (high == low)).sum())
        self.counts["queries_with_one_candidate"] = int((present.sum(axis=1) == 1).sum())

    def _sizes(self) -> dict[str, float]:
        """Parameters of each source: the option says it, or the table, or axes.csv."""
        found, texts = numbers_of((self.truths, self.scores), "size", ("source",))
        self.counts["text_facts"] = texts
        return {**self.axes.sizes, **{name: size for (name,), size in found.items()}, **self.option.sizes}

    def _with_baselines(self, stored: Stored, present: NDArray[np.bool_], sizes: dict[str, float]) -> Stored:
        """Source size and accuracy beside the metrics, where every candidate has them and they rank anything."""
        found, texts = numbers_of((self.truths, self.scores), "source_accuracy", ("source",))
        self.counts["text_facts"] += texts
        accuracy = {**{name: value for (name,), value in found.items()}, **self.option.source_accuracy}
        if self.axes.direction:
            return stored  # what tmbench wrote has its baselines
        for name, facts, key in ((SOURCE_SIZE, sizes, "sizes"), (SOURCE_ACCURACY, accuracy, "source_accuracies")):
            if not facts or name in stored.kinds:
                continue
            if self.direction != "source_selection":
                self.notes.append(f"{self.scenario}: {name} is the same for all targets of a source and ranks nothing.")
                continue
            used = np.flatnonzero(present.any(axis=0))
            lacking = [self.names["source"][place] for place in used if self.names["source"][place] not in facts]
            self.counts[f"unknown_{key}"] = len(lacking)
            if lacking:
                self.notes.append(
                    f"{self.scenario}: no baseline {name}, for {len(lacking)} of {len(used)} candidates have none: "
                    f"{', '.join(lacking[:5])}{', …' if len(lacking) > 5 else ''}."
                )
                continue
            row = np.array([facts.get(source, np.nan) for source in self.names["source"]])
            stored = stored.beside(name, np.where(present, row, np.nan))
        return stored

    def _families(self, key: str, names: tuple[str, ...], option: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
        """The family of each candidate or query; "" where nothing says it."""
        candidates = (key == "family") == (self.direction == "source_selection")
        owner = "source" if candidates else "target"
        found = {name: family for (of, name), family in self.axes.families.items() if of == owner}
        found |= texts_of((self.truths, self.scores), key, owner)
        found |= {name: family for family, members in option.items() for name in members}
        return tuple(found.get(name, "") for name in names)

    def _groups(self, queries: tuple[str, ...]) -> tuple[str, ...]:
        """The group of each query; "" where nothing says it."""
        owner = "target" if self.direction == "source_selection" else "source"
        found = texts_of((self.truths, self.scores), "query_group", owner)
        found |= {name: group for group, members in self.option.query_groups.items() for name in members}
        return tuple(found.get(name, "") for name in queries)

    def _test_sizes(self, present: NDArray[np.bool_]) -> Array:
        """(Q, N) the size of the test set of each cell."""
        found, texts = numbers_of((self.truths, self.scores), "test_size", ("source", "target"))
        self.counts["text_facts"] += texts
        sizes = np.full((len(self.names["target"]), len(self.names["source"])), np.nan)
        place = {name: i for i, name in enumerate(self.names["source"])}
        row = {name: i for i, name in enumerate(self.names["target"])}
        for (source, target), size in found.items():
            sizes[row[target], place[source]] = size
        for target, size in self.option.test_sizes.items():
            if target in row:
                sizes[row[target]] = size
        return np.where(present, sizes if self.direction == "source_selection" else sizes.T, np.nan)

    def _check_proportions(self, truth: Array, test_sizes: Array) -> None:
        """Of a test set's size the noise of a proportion follows, and of nothing else."""
        known = ~np.isnan(truth) & ~np.isnan(test_sizes)[..., None]
        wrong = known & ((truth < 0) | (truth > 1))
        self.counts["truths_no_proportion"] = int(wrong.any(axis=(0, 3)).sum())
        if wrong.any():
            high, low = truth[wrong].max(), truth[wrong].min()
            found, mend = (
                (f"largest {high:g}", "; divide percentages by 100") if high > 1 else (f"smallest {low:g}", "")
            )
            self.notes.append(
                f"{self.scenario}: truths are not proportions ({found}): no noise ceiling follows from the test sizes"
                f"{mend}."
            )

    def _warn_of_case(self, recipes: tuple[str, ...], levels: tuple[str, ...], stored: Stored) -> None:
        """Names that differ only by case are kept, and probably one thing."""
        every = {**self.names, "recipe": recipes, "level": levels, "metric": tuple(stored.kinds)}
        for kind, names in every.items():
            seen: dict[str, str] = {}
            for name in names:
                other = seen.setdefault(name.casefold(), name)
                if other != name:
                    self.notes.append(
                        f"{self.scenario}: {kind}s '{other}' and '{name}' differ only by case; both stay."
                    )
