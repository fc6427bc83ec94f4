"""What stands under a table: what it is, what it counts, the field it is about and how its intervals were made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tmbench.report.contract import INDEPENDENT, TITLES, plural, query_word
from tmbench.stats.bootstrap import FEWEST_QUERIES, Resampling
from tmbench.stats.jackknife import FEWEST_FAMILIES
from tmbench.stats.sign_flip import smallest_p
from tmbench.stats.stability import PAIR_DRAWS

if TYPE_CHECKING:
    from pandas import DataFrame

    from tmbench.report.tables import Scene

ABOUT = {
    "win_rate": "Share of the setups that a metric wins: alone (strict), a tie of n counting 1/n (split), or at least "
    "tied (all).",
    "win_rate_by_measure": "As the win rate, over the setups under one measure alone.",
    "means": "The mean of each measure over the setups in which it has a value; none is in bold where these differ.",
    "stability": "Mean Kendall τ between the rankings of the metrics in two setups that differ in one component alone. "
    "1: always the same; about 0: unrelated.",
    "pairwise": "Share of the setups in which both have a value that the first wins, ties or loses; difference = win − "
    "loss.",
    "convergence": "The probability that so many random setups name the winner of the whole study, and that so many "
    "queries name the winner of the remaining ones.",
    "by_candidates": "Mean over queries of each measure on one group of candidates: all that the metric applies to, "
    "common to all metrics, without random starts, one family. Count: its mean size.",
    "reliability": "Whether the candidates differ by more than another seed or test set would change. Ratio: (best − "
    "worst) / deviation between seeds. Reliability: the share of the variance of means that is between candidates.",
    "truth": "What each source reaches on each target by each recipe: mean and deviation over seeds; its mean less "
    "that of the supervised and of the random start of its family (to_supervised, to_random) and of the same "
    "initialisation in the next smaller family (from_smaller); the fewest epochs with which it reaches what the "
    "supervised start reaches with the most. More is better, of a negative error too: 0 is perfect, and −1 of one over "
    "the variance is what the mean reaches. differ: whether the sources of a target differ beyond the spread of seeds "
    "(F test of the one-way analysis of variance, p below 0.05).",
    "tuning": "Each point of the grids by which recipes were tuned, one fine-tuning each, chosen on validation and "
    "never on test. edge: the axes at an end of which the best point lies, so that a better one may lie beyond.",
    "per_query": "Each measure on the full pool of a query: its candidates that all metrics of the field can score.",
    "per_query_groups": "Each measure on a query, by group of candidates.",
    "pooled": "Correlations over the full pools of all queries thrown together, beside the mean over "
    "queries. query_mean: what the mean truth of a query (of its other candidates, for Pearson's r) reaches on the "
    "same cells; inside a query it tells nothing apart, 0. between: the share of the truth's variance between queries.",
    "ranges": "The least and the greatest value of a single query, to read where queries are too few for an interval.",
    "bounds": "The win rate (ties split) with missing scores: each losing (as_loss); the metric itself having lost and "
    "a missing rival won (lowest); the reverse (highest).",
    "rank_entropy": "How spread out the ranks of a metric are over setups, and of a candidate's truth over queries: 0 "
    "(always the same) to 1 (any with equal chance).",
    "counts": "What was counted, and what was done with it.",
    "cells": "The cells: for each target and source the truth by recipe, its deviation over seeds, and the scores.",
    "truth_outputs": "What each source reaches on each class or output of a target: mean and deviation over seeds.",
    "dropped": "What was left out of a target or passed over in its data, by split: the faults that 'broken: drop' "
    "passed over, a sentence each, and how many images do not show what is predicted (hidden).",
    "flags": "On how many cells a metric raised each flag.",
}

INTERVALS = ("win_rate", "win_rate_by_measure", "means", "stability", "pairwise", "by_candidates")
"""The tables with ``low`` and ``high``."""

APART = ("win_rate", "means", "counts")
"""The tables whose caption counts the setups of each scenario apart; the others have their number alone."""

FIELD = ("win_rate", "win_rate_by_measure", "stability", "convergence", "bounds", "rank_entropy")
"""The tables about the metrics that compete."""

WITHOUT_SETUPS = ("truth", "truth_outputs", "tuning", "dropped")
"""The tables that no setup stands behind."""

MOST_NAMED = 6
"""So many scenarios or fields are spelt out in a caption; of more, the number."""


def captions(scenes: Sequence[Scene], tables: dict[str, DataFrame], resampling: Resampling) -> dict[str, str]:
    """The caption of each of ``tables``, one paragraph without markup."""
    setups, brief, field = _setups(scenes), _setups(scenes, apart=False), _fields(scenes)
    reading = _reading(scenes)
    intervals = " ".join(interval_sentences(scenes, resampling))
    found = {}
    for name, table in tables.items():
        sentences = [f"{TITLES.get(name, name)}.", ABOUT.get(name, "")]
        if name in WITHOUT_SETUPS or not scenes:
            found[name] = " ".join(sentence for sentence in sentences if sentence)
            continue
        sentences += [field] if name in FIELD else []
        sentences += [setups if name in APART else brief, reading, _combined(scenes, table), _absent(name, table)]
        sentences += [intervals] if name in INTERVALS else []
        if name == "stability" and resampling.draws > PAIR_DRAWS:
            sentences.append(f"{PAIR_DRAWS:,} resamplings where the query itself varies.")
        if name in ("win_rate", "win_rate_by_measure") and resampling.draws:
            sentences.append(_families(scenes, table, pools=name == "win_rate"))
        if name == "pairwise":
            sentences.append(p_sentence(scenes, resampling))
        found[name] = " ".join(sentence for sentence in sentences if sentence)
    return found


def interval_sentences(scenes: Sequence[Scene], resampling: Resampling) -> Iterator[str]:
    """How intervals were made, and where and why there are none."""
    if not resampling.draws:
        yield "No intervals were asked for."
        return
    few = [scene for scene in scenes if resampling.groups(scene.cells.query_families) < FEWEST_QUERIES]
    if len(few) < len(scenes):
        words = " and ".join(dict.fromkeys(plural(_query(scene)) for scene in scenes if scene not in few))
        text = f"Intervals: {_percent(resampling)}, expanded percentiles of {resampling.draws:,} resamplings of {words}"
        together = any(any(scene.cells.query_families) for scene in scenes)
        yield text + (", those of one family together." if together else ".")
    for scene in few[:MOST_NAMED]:
        of = f"{scene.cells.scenario} has " if len(scenes) > 1 else "there are "
        yield f"No interval: {of}{_independent(scene, resampling)}, fewer than {FEWEST_QUERIES}; see ranges."
    if len(few) > MOST_NAMED:
        yield f"Nor for {len(few) - MOST_NAMED} more scenarios with as few."


def p_sentence(scenes: Sequence[Scene], resampling: Resampling) -> str:
    """What p is, and how small it can become."""
    least = {}
    for scene in scenes:
        groups = resampling.groups(scene.cells.query_families)
        least[scene.cells.scenario] = f"{p_text(smallest_p(groups))} with {_independent(scene, resampling)}"
        if groups < 2:
            least[scene.cells.scenario] = f"no test with {_independent(scene, resampling)}"
    named = list(dict.fromkeys(least.values()))
    if len(named) > MOST_NAMED:
        named = [*named[:MOST_NAMED], f"{len(named) - MOST_NAMED} more"]
    text = "p: sign-flip test over queries; smallest attainable p = 2^(1 − n) of n independent queries: "
    return f"{text}{'; '.join(named)}. p_holm: after Holm, within the field and with the others apart."


def p_text(p: float) -> str:
    """A p value as a sentence has it: two significant digits, ``1.5 × 10⁻⁵`` where it is small."""
    if not 0 < p < 1e-3:
        return f"{p:.2g}"
    mantissa, power = f"{p:.1e}".split("e")
    return f"{mantissa} × 10{str(int(power)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def _query(scene: Scene) -> str:
    return query_word(scene.cells.direction)


def _independent(scene: Scene, resampling: Resampling) -> str:
    groups, queries = resampling.groups(scene.cells.query_families), len(scene.cells.queries)
    word = _query(scene) if groups == 1 else plural(_query(scene))
    return f"{groups} {word}" if groups == queries else f"{groups} independent {word}"


def _percent(resampling: Resampling) -> str:
    return f"{100 * resampling.level:.3g} %"


def interval_name(resampling: Resampling) -> str:
    """Such as ``95 % interval``."""
    return f"{_percent(resampling)} interval"


def _setups(scenes: Sequence[Scene], apart: bool = True) -> str:
    """How many setups there are and how many lack a value, over recipes and levels; ``apart``: also by scenario."""
    if not scenes:
        return ""
    counted: dict[str, tuple[int, int]] = {}
    for scene in scenes:
        setups, missing = counted.get(scene.cells.scenario, (0, 0))
        setups += sum(tally.setups for tally in scene.tally.slices)
        missing += sum(tally.missing for tally in scene.tally.slices)
        counted[scene.cells.scenario] = setups, missing
    total, absent = (sum(numbers) for numbers in zip(*counted.values(), strict=True))
    text = f"{total:,} setups, {absent:,} of them missing"
    text += " (a metric of the field has no value)" if absent else ""
    if apart and 1 < len(counted) <= MOST_NAMED:
        listed = [f"{name} {setups:,}, {missing:,} missing" for name, (setups, missing) in counted.items()]
        text += ": " + "; ".join(listed)
    return text + "."


def _reading(scenes: Sequence[Scene]) -> str:
    """What reading the cells found and how often, each once a scenario however many scenes that has."""
    by_scenario = {scene.cells.scenario: scene.cells.counts for scene in scenes}
    total: Counter[str] = Counter()
    for counts in by_scenario.values():
        total.update(counts)
    listed = [f"{number:,} {name.replace('_', ' ')}" for name, number in total.items() if number]
    return f"In the cells: {', '.join(listed)} (see counts)." if listed else ""


def _combined(scenes: Sequence[Scene], table: DataFrame) -> str:
    """The metrics of a table whose scores are formed inside each pool; the table of the cells has their parts."""
    every = dict.fromkeys(one.name for scene in scenes for one in scene.cells.combined)
    in_parts = [name for name in every if any(str(column).startswith(f"{name}.") for column in table.columns)]
    if in_parts:
        return f"By part, to be combined inside a pool: {', '.join(in_parts)}."
    whole = [name for name in every if "metric" in table.columns and (table["metric"] == name).any()]
    return f"Combined from parts inside each pool: {', '.join(whole)}." if whole else ""


def _fields(scenes: Sequence[Scene]) -> str:
    """The metrics that compete, once where they are the same everywhere."""
    fields: dict[tuple[str, ...], list[str]] = {}
    for scene in scenes:
        for tally in scene.tally.slices:
            names = tuple(tally.names[metric] for metric in tally.field)
            where = tally.where.scenario if len(scenes) > 1 else ""
            where += f" {tally.where.level}" if len(scene.cells.levels) > 1 else ""
            places = fields.setdefault(names, [])
            if where.strip() not in places:
                places.append(where.strip())
    listed = [", ".join(names) or "no metric" for names in fields]
    if len(fields) > 1:
        listed = [f"{', '.join(places)}: {names}" for names, places in zip(listed, fields.values(), strict=True)]
    more = f"; {len(listed) - MOST_NAMED} more" if len(listed) > MOST_NAMED else ""
    return f"Field: {'; '.join(listed[:MOST_NAMED])}{more}. Variants and baselines take no vote."


def _absent(name: str, table: DataFrame) -> str:
    """How many values of a table over queries are absent, which no column of it counts."""
    columns = [column for column in ("value", "pooled") if column in table.columns]
    if not columns or not len(table):
        return ""
    return f"{int(table[columns[0]].isna().sum()):,} of {len(table):,} values are missing."


def _families(scenes: Sequence[Scene], table: DataFrame, pools: bool) -> str:
    """How the intervals over families were made, and with which ``pools``, or why there are none."""
    given = [scene for scene in scenes if len(scene.without_family) >= FEWEST_FAMILIES]
    if not given:
        return f"No interval over families: it takes {FEWEST_FAMILIES} families of candidates, each deleted in turn."
    if not table["family_low"].notna().any():
        return "No interval over families: without some of them another field of metrics would compete."
    numbers = [
        f"{len(scene.without_family)}{f' ({scene.cells.scenario})' if len(scenes) > 1 else ''}" for scene in given
    ]
    text = f"family_low, family_high: delete-one-family jackknife over {', '.join(numbers)} families of candidates."
    kept = " Its pools keep their size where the rest is large enough, else the whole rest is the pool."
    return text + kept if pools else text


def independent_queries(counts: DataFrame, scenario: str) -> int:
    """How many independent queries a scenario has, as the table ``counts`` says."""
    return _counted(counts, scenario, INDEPENDENT)


def all_queries(counts: DataFrame, scenario: str) -> int:
    """How many queries a scenario has, those of one family each counted."""
    return _counted(counts, scenario, "queries")


def _counted(counts: DataFrame, scenario: str, what: str) -> int:
    chosen = counts[(counts["scenario"] == scenario) & (counts["what"] == what)]
    return int(chosen["count"].max()) if len(chosen) else 0
