"""The columns of the tables: a contract, which README and later papers read by name.

All but the last five begin with ``scenario, recipe, level, direction``; one of these reads ``all`` where it is itself
what varies, or where the row is about all of them. ``kind`` is metric, variant or baseline. ``low`` and ``high`` are
the interval over queries, empty where there is none; ``setups`` counts what a value is the mean over and ``missing``
what was left out of it because a value is missing.

====================== =================================================================================
win_rate               metric, kind, strict, split, all, low, high, family_low, family_high, setups, missing
win_rate_by_measure    the same with measure
means                  measure, metric, kind, mean, low, high, setups, missing
stability              varied, stability, low, high, groups, setups
pairwise               metric, other, win, tie, loss, difference, low, high, p, p_holm
convergence            unit, count, probability
reliability            query and what ``tmbench.stats.reliability.Reliability`` says of it
per_query              query, measure, metric, kind, value: the full pool of common candidates
per_query_groups       query, measure, metric, kind, candidates, count, value: also other groups of candidates
by_candidates          measure, metric, kind, candidates, count, mean, low, high, queries, missing
pooled                 measure, metric, kind, per_query, pooled: all queries' full pools thrown together;
                       query_mean, between: what the mean of the query reaches there, variance between queries
ranges                 statistic, metric, kind, least, greatest, queries: of the values of single queries
bounds                 metric, kind, as_loss, lowest, highest, setups, missing
rank_entropy           of, name, entropy, mean_rank, count
counts                 what, count, policy
cells                  target, source, family, size, random_start, truth and its deviation by recipe, scores
truth                  what ``tmbench.stats.truths.TruthRow`` says of each target, recipe, source and measure
tuning                 of a sweep that tunes: each point of each grid, its value on validation, which is the best
truth_outputs          target, recipe, source, measure, output, mean, sd, seeds: of each class or output
dropped                target, split, reason, count, problem: what was left out of a target; no table where nothing
====================== =================================================================================
"""

from dataclasses import fields
from typing import Any

from tmbench.stats.cells import axes_of
from tmbench.stats.reliability import Reliability

Row = dict[str, Any]
"""A row of a table by column."""

BASE = ("scenario", "recipe", "level", "direction")
"""What a row is about."""

WINS = (
    "metric", "kind", "strict", "split", "all", "low", "high", "family_low", "family_high", "setups", "missing",
)  # fmt: skip

COLUMNS: dict[str, tuple[str, ...]] = {
    "win_rate": (*BASE, *WINS),
    "win_rate_by_measure": (*BASE, "measure", *WINS),
    "means": (*BASE, "measure", "metric", "kind", "mean", "low", "high", "setups", "missing"),
    "stability": (*BASE, "varied", "stability", "low", "high", "groups", "setups"),
    "pairwise": (*BASE, "metric", "other", "win", "tie", "loss", "difference", "low", "high", "p", "p_holm"),
    "convergence": (*BASE, "unit", "count", "probability"),
    "by_candidates": (
        *BASE, "measure", "metric", "kind", "candidates", "count", "mean", "low", "high", "queries", "missing",
    ),
    "reliability": (*BASE, *(field.name for field in fields(Reliability) if field.name != "recipe")),
    "per_query": (*BASE, "query", "measure", "metric", "kind", "value"),
    "per_query_groups": (*BASE, "query", "measure", "metric", "kind", "candidates", "count", "value"),
    "pooled": (*BASE, "measure", "metric", "kind", "per_query", "pooled", "query_mean", "between"),
    "ranges": (*BASE, "statistic", "metric", "kind", "least", "greatest", "queries"),
    "bounds": (*BASE, "metric", "kind", "as_loss", "lowest", "highest", "setups", "missing"),
    "rank_entropy": (*BASE, "of", "name", "entropy", "mean_rank", "count"),
    "counts": (*BASE, "what", "count", "policy"),
}  # fmt: skip

TITLES = {
    "win_rate": "Win rate",
    "win_rate_by_measure": "Win rate by measure",
    "means": "Mean of each measure",
    "stability": "Setup stability",
    "pairwise": "Pairwise comparison",
    "convergence": "How many setups and queries it takes",
    "by_candidates": "Mean over queries, by group of candidates",
    "reliability": "Reliability of the truth",
    "truth": "The truths: what each source reaches",
    "truth_outputs": "The truths by class or output",
    "per_query": "Each query, full pool",
    "per_query_groups": "Each query, by group of candidates",
    "pooled": "Pooled over queries, beside the mean per query",
    "ranges": "Range over queries",
    "bounds": "Bounds of the win rate for what is missing",
    "rank_entropy": "Rank entropy",
    "counts": "What was counted",
    "cells": "The cell matrix",
    "dropped": "Passed over as broken, left out as hidden",
    "tuning": "Tuning: what was tried, and what was chosen on validation",
    "flags": "Flags: cells on which a score says little",
}
"""The tables in the order of the page."""

SPLIT = "win rate (split)"
"""The statistic of ``ranges`` that is the win rate with ties split; the others are ``mean MEASURE``."""

TIED = "setups of equal truths"
"""What ``counts`` calls the setups without a value because all candidates of their query reach the same truth."""

INDEPENDENT = "independent queries"
"""What ``counts`` calls the number of groups of queries that are resampled."""


def query_word(direction: str) -> str:
    """What a query is: a target when sources are ranked. When targets are, a source can have several queries."""
    return "target" if direction == "source_selection" else "query"


def plural(word: str) -> str:
    """Several of ``query_word``, or of a word that ends as one of these does."""
    return f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"


def all_tie(direction: str) -> str:
    """What is the case where a query has no order that could be predicted."""
    return f"all {axes_of(direction)[1]}s reach the same truth"
