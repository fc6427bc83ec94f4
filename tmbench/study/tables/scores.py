"""The scores of a scenario in arrays: stored metrics, and parts of those that are combined inside each pool."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tmbench.errors import ConfigError, unknown
from tmbench.functions import check_parameters, find_function
from tmbench.stats.baselines import STATIC
from tmbench.stats.cells import INAPPLICABLE, KINDS, MISSING, OK, RANDOM, Combine, Combined
from tmbench.stats.pooled import QUERY_MEAN
from tmbench.study.tables.columns import EMPTY, INFINITE, NUMBER, TEXT, axis
from tmbench.study.tables.facts import Axes
from tmbench.study.tables.forms import Rows
from tmbench.study.tables.options import CellsOption

Array = NDArray[np.float64]
Places = NDArray[np.int64]

SOURCE_SIZE, SOURCE_ACCURACY = "source_size", "source_accuracy"
"""The baselines that are made from facts of the sources; metrics of these names are baselines as well."""

COMBINERS = "tmbench.stats.combine:"
"""The functions that a data file may name by itself; any other is code, which only the user may name."""

TOO_MANY = 2 * 10**8
"""So many values in one array are no study but a wrong column."""


def check_shape(shape: tuple[int, ...], rows: Rows) -> None:
    """Refuse an array that would fill the memory.

    Raises:
        ConfigError: when it has more than ``TOO_MANY`` values.
    """
    if int(np.prod(np.array(shape, dtype=object))) > TOO_MANY:
        raise ConfigError(
            f"{rows.view.table.path}: {shape[-3] if len(shape) > 3 else 1} × {shape[-2]} × {shape[-1]} cells are more "
            "than one study has. Do 'source' and 'target' name the right columns?"
        )


@dataclass
class Stored:
    """Metrics with stored scores: (L, M, Q, N) scores and states, and the kind of each metric by name."""

    scores: Array
    state: NDArray[np.int8]
    kinds: dict[str, str]

    def beside(self, name: str, baseline: Array) -> "Stored":
        """The same with a baseline (Q, N) at every level."""
        row = np.broadcast_to(baseline, (self.scores.shape[0], 1, *baseline.shape))
        state = np.where(np.isnan(row), INAPPLICABLE, OK).astype(np.int8)
        kinds = {**self.kinds, name: "baseline"}
        return Stored(np.concatenate([self.scores, row], axis=1), np.concatenate([self.state, state], axis=1), kinds)


@dataclass
class ScoreAssembly:
    """The scores of one scenario, and where its cells are.

    Attributes:
        rows: one score a row, each once.
        query: (n,) place of each row's query.
        candidate: (n,) place of each row's candidate.
        present: (Q, N) bool, the cells.
        option: how the table is read.
        axes: what axes.csv says.
        counts: to which policies add.
    """

    rows: Rows
    query: Places
    candidate: Places
    present: NDArray[np.bool_]
    option: CellsOption
    axes: Axes
    counts: dict[str, int]

    def arrays(self) -> tuple[tuple[str, ...], Stored, tuple[Combined, ...]]:
        """Levels, stored metrics and those that are combined from parts.

        Raises:
            ConfigError: for metrics whose parts, kinds or names contradict each other.
        """
        rows = self.rows
        self._count()
        levels, (level,) = axis(self.axes.names["level"], [rows.names["level"]])
        listed = [*self.axes.names["metric"], *self.axes.names["combined"]]
        metrics, (metric,) = axis(listed, [rows.names["metric"]])
        kinds = self._kinds(metrics, metric)
        in_parts = self._in_parts(metrics, metric)
        whole = [place for place in range(len(metrics)) if place not in in_parts]
        position = np.full(len(metrics), -1)
        position[whole] = np.arange(len(whole))
        use = position[metric] >= 0
        stored = self._fill(use, level, position[metric], (len(levels), len(whole)))
        stored.kinds = {metrics[place]: kinds[metrics[place]] for place in whole}
        combined = []
        for place, combine in in_parts.items():
            name = metrics[place]
            names, parts, state = self._parts(name, metric == place, level, len(levels))
            combined.append(Combined(name, kinds[name], combine, names, parts, state))
        return levels, stored, tuple(combined)

    def nothing(self) -> tuple[tuple[str, ...], Stored, tuple[Combined, ...]]:
        """The same of a table without scores: one level and no metric."""
        shape = (1, 0, *self.present.shape)
        return (self.option.level,), Stored(np.empty(shape), np.empty(shape, dtype=np.int8), {}), ()

    def _count(self) -> None:
        holds = self.rows.values.holds
        for key, chosen in (
            ("empty_scores", (holds == EMPTY) & ~self.rows.inapplicable),
            ("text_scores", holds == TEXT),
            ("infinite_scores", holds == INFINITE),
            ("inapplicable_scores", self.rows.inapplicable),
        ):
            self.counts[key] = int(chosen.sum())

    def _fill(self, use: NDArray[np.bool_], level: Places, metric: Places, outer: tuple[int, int]) -> Stored:
        """(L, M, Q, N) scores and states of the rows in ``use``: samples averaged, gaps named.

        ``metric`` is the place of each row on the second axis, and ``outer`` the lengths of the first two.
        """
        shape = (*outer, *self.present.shape)
        check_shape(shape, self.rows)
        flat = np.ravel_multi_index((level[use], metric[use], self.query[use], self.candidate[use]), shape)
        values, size = self.rows.values.take(use), int(np.prod(shape))
        ok = (values.holds == NUMBER) | (values.holds == INFINITE)
        count = np.bincount(flat[ok], minlength=size)
        scores = np.full(size, np.nan)
        scores[flat[ok]] = values.numbers[ok]
        several = count > 1
        with np.errstate(invalid="ignore"):  # +inf and -inf of two samples have no mean
            total = np.bincount(flat[ok], weights=values.numbers[ok], minlength=size)
        scores[several] = total[several] / count[several]
        there = np.bincount(flat, minlength=size)
        no = np.bincount(flat[self.rows.inapplicable[use]], minlength=size)
        gap = np.where((no == there) & (there > 0), INAPPLICABLE, MISSING)
        state = np.where(np.isnan(scores), gap, OK).reshape(shape).astype(np.int8)
        there = there.reshape(shape)
        # What was never computed at a level is no gap there: it does not compete at that level.
        absent = (there == 0).all(axis=(2, 3), keepdims=True)
        state[np.broadcast_to(absent | ~self.present, shape)] = INAPPLICABLE
        for key, number in (
            ("averaged_scores", several.sum()),
            ("absent_metrics", absent.sum()),
            ("absent_scores", ((there == 0) & self.present & ~absent).sum()),
        ):
            self.counts[key] = self.counts.get(key, 0) + int(number)
        return Stored(scores.reshape(shape), state, {})

    def _parts(
        self, metric: str, rows: NDArray[np.bool_], level: Places, levels: int
    ) -> tuple[tuple[str, ...], Array, NDArray[np.int8]]:
        """The parts of one metric: their names, (L, P, Q, N) values and the (L, Q, N) state of the whole."""
        listed = [] if metric in self.option.combine else list(self.axes.combine_with.get(metric, {}).get("parts", ()))
        column = self.rows.names["part"].take(rows)
        names, (place,) = axis(listed, [column])
        there = {column.names[code] for code in np.unique(column.codes)}
        if listed and there != set(listed):
            raise ConfigError(
                f"{self.rows.view.table.path}: metric '{metric}' is combined from the parts {', '.join(listed)} "
                f"(axes.csv), and its rows have {', '.join(sorted(there))}."
            )
        part = np.zeros(len(rows), dtype=np.int64)
        part[rows] = place
        found = self._fill(rows, level, part, (levels, len(names)))
        inapplicable, ok = (found.state == INAPPLICABLE).any(axis=1), found.state == OK
        state = np.where(inapplicable, INAPPLICABLE, np.where(ok.all(axis=1), OK, MISSING)).astype(np.int8)
        incomplete = int((ok.any(axis=1) & ~ok.all(axis=1)).sum())
        self.counts["incomplete_parts"] = self.counts.get("incomplete_parts", 0) + incomplete
        return names, np.where((state == OK)[:, None], found.scores, np.nan), state

    def _in_parts(self, metrics: tuple[str, ...], metric: Places) -> dict[int, Combine]:
        """The places of the metrics that come in parts → the function that combines each."""
        part = self.rows.names["part"]
        has_part = np.array([bool(name) for name in part.names])[part.codes]
        path = self.rows.view.table.path
        found = {}
        for place in np.unique(metric[has_part]).tolist():
            without = (metric == place) & ~has_part
            if without.any():
                row = self.rows.view.table.numbers[self.rows.row[np.argmax(without)]]
                raise ConfigError(f"{path}: metric '{metrics[place]}' comes in parts, and row {row} names none.")
            found[place] = self._combiner(metrics[place])
        for name in self.option.combine:
            if name in metrics and metrics.index(name) not in found:
                raise ConfigError(
                    f"{path}: combine.{name} is set, and no row of that metric names a part (column 'part')."
                )
        return found

    def _combiner(self, name: str) -> Combine:
        written = self.axes.combine.get(name, "")
        if name in self.option.combine:
            return find_function(self.option.combine[name])
        if written.startswith(COMBINERS):
            given = {key: value for key, value in self.axes.combine_with.get(name, {}).items() if key != "parts"}
            check_parameters(written, given, 1, f"axes.csv, metric {name}")
            function: Combine = find_function(written)
            return partial(function, **given) if given else function
        asks = f" (axes.csv names {written}, which is run only if you name it)" if written else ""
        raise ConfigError(
            f"{self.rows.view.table.path}: metric '{name}' comes in parts{asks}; say what makes scores of them inside "
            f"a pool: combine.{name}={written or COMBINERS + 'sum_of_standardised'}."
        )

    def _kinds(self, metrics: tuple[str, ...], metric: Places) -> dict[str, str]:
        """What each metric counts as: the option says it, or the table, or its name."""
        path, kind, variant = self.rows.view.table.path, self.rows.names["kind"], self.rows.names["variant"]
        is_variant = np.array([bool(name) for name in variant.names])[variant.codes]
        variants = {metrics[place] for place in np.unique(metric[is_variant])}
        said: dict[str, str] = {}
        for pair in np.unique(metric * len(kind.names) + kind.codes).tolist():
            name, word = metrics[pair // len(kind.names)], kind.names[pair % len(kind.names)]
            if word and said.setdefault(name, word) != word:
                raise ConfigError(f"{path}: metric '{name}' has the kinds '{said[name]}' and '{word}'. Keep one.")
            if word and word not in KINDS:
                raise unknown("kind", word, KINDS, where=f"{path}, metric {name}")
        found = {}
        for name in metrics:
            if name in (STATIC, RANDOM, QUERY_MEAN):
                raise ConfigError(
                    f"{path}: a metric is named '{name}', which tmbench calls a baseline of its own. Rename it: "
                    f"rename.{name}=my_{name}."
                )
            default = "variant" if name in variants else "metric"
            default = "baseline" if name in (SOURCE_SIZE, SOURCE_ACCURACY) else default
            said_by_axes = self.axes.kinds.get(name, default)
            found[name] = self.option.kinds.get(name) or said.get(name) or said_by_axes
        return found
