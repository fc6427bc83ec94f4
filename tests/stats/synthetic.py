"""Cells of the demo's shape, made by a generator: two families, random starts, LEEP inapplicable on these."""

import itertools

import numpy as np

from tmbench.stats.accumulate import tally_study
from tmbench.stats.bootstrap import Resampling
from tmbench.stats.cells import INAPPLICABLE, MISSING, OK, Cells, common_candidates
from tmbench.stats.measures import MEASURES
from tmbench.stats.outcomes import PoolChunk

PAPER = {name: MEASURES[name] for name in ("weighted_tau", "kendall_tau", "pearson", "rel_at_1")}
"""The four measures of the ECCV 2022 study."""


def make_cells(seed=0, queries=6, seeds=2, scenario="demo"):
    """2 recipes, 10 candidates, 4 metrics and a baseline, with truth that the scores predict roughly."""
    generator = np.random.default_rng(seed)
    families = ("resnet",) * 5 + ("vit",) * 5
    pretraining = ("glyphs", "shapes", "textures", "scenes", "random")
    random_start = np.array([False, False, False, False, True] * 2)
    level = np.array([0.7] * 5 + [0.55] * 5) - 0.15 * random_start
    ability = level + generator.normal(0, 0.05, (queries, 10))
    truth = np.stack([ability - 0.1, ability + 0.1])[..., None] + generator.normal(0, 0.01, (2, queries, 10, seeds))
    noise = generator.normal(0, 1, (4, queries, 10)) * np.array([0.03, 0.1, 0.1, 0.3])[:, None, None]
    scores = np.concatenate([ability + noise, np.broadcast_to(np.repeat([7e4, 1e5], 5), (1, queries, 10))])[None]
    state = np.full(scores.shape, OK, dtype=np.int8)
    state[0, 2][:, random_start] = INAPPLICABLE
    return Cells(
        scenario=scenario,
        direction="source_selection",
        recipes=("head", "full"),
        levels=("global",),
        queries=tuple(f"target_{number}" for number in range(queries)),
        candidates=tuple(f"{family}_{name}" for family, name in zip(families, pretraining * 2, strict=True)),
        metrics=("hscore", "logme", "leep", "gbc", "source_size"),
        kinds=("metric",) * 4 + ("baseline",),
        truth=truth,
        scores=np.where(state == OK, scores, np.nan),
        state=state,
        families=families,
        random_start=random_start,
    )


def rough_cells(seed=0, queries=4, candidates=6, metrics=3, recipes=2, levels=2, seeds=2, missing=0.02):
    """Cells heavy with ties, constant scores and gaps; each query lacks one candidate, its own source."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(1, 5, (recipes, queries, candidates, seeds)) / 4
    scores = generator.integers(0, 3, (levels, metrics, queries, candidates)).astype(float)
    scores[0, 0, 0] = 1.0
    present = np.ones((queries, candidates), dtype=bool)
    present[np.arange(queries), np.arange(queries) % candidates] = False
    state = np.where(generator.random(scores.shape) < missing, MISSING, OK).astype(np.int8)
    state[..., ~present] = INAPPLICABLE
    truth[:, ~present] = np.nan
    truth[0, -1, 0, 0] = np.nan
    return Cells(
        scenario="rough",
        direction="source_selection",
        recipes=tuple(f"recipe_{i}" for i in range(recipes)),
        levels=tuple(f"level_{i}" for i in range(levels)),
        queries=tuple(f"target_{i}" for i in range(queries)),
        candidates=tuple(f"source_{i}" for i in range(candidates)),
        metrics=tuple(f"metric_{i}" for i in range(metrics)),
        kinds=("metric",) * metrics,
        truth=truth,
        scores=np.where(state == OK, scores, np.nan),
        state=state,
        families=("",) * candidates,
        random_start=np.zeros(candidates, dtype=bool),
        present=present,
    )


def all_pools(cells, size, at_a_time=7):
    """Every subset of ``size`` candidates that a query can use whole, in small chunks."""
    common = common_candidates(cells)
    sets = np.array(list(itertools.combinations(range(len(cells.candidates)), size)))
    members = np.zeros((len(sets), len(cells.candidates)), dtype=bool)
    np.put_along_axis(members, sets, True, axis=1)
    serves = ~(members[:, None] & ~common).any(axis=-1)
    for start in range(0, len(members), at_a_time):
        yield PoolChunk(members[start : start + at_a_time], serves[start : start + at_a_time])


def make_tally(cells, size=5, resampling=None, measures=PAPER):
    """The tally over all pools of ``size`` of the common candidates."""
    return tally_study(cells, all_pools(cells, size), measures, resampling or Resampling(0))


def target_cells(sources=4, sets=("cars", "birds"), members=12, seed=0, families=True):
    """Target selection by class subsets: each query, a source and an option, has candidates of its own.

    Of each data set there is an option of random size and one of half the classes; −log C ranks the first alone.
    """
    generator = np.random.default_rng(seed)
    options = [(data, rule) for data in sets for rule in ("random", "half")]
    names = [f"{data}_{rule}.{number:03}" for data, rule in options for number in range(members)]
    queries = [(source, option) for source in range(sources) for option in range(len(options))]
    present = np.zeros((len(queries), len(names)), dtype=bool)
    truth, scores = np.full((1, *present.shape, 2), np.nan), np.full((1, 4, *present.shape), np.nan)
    classes = generator.integers(2, 40, (len(options), members))
    hard = generator.normal(0, 0.04, (len(options), members))
    for query, (_, option) in enumerate(queries):
        here = slice(option * members, (option + 1) * members)
        present[query, here] = True
        count = classes[option] if options[option][1] == "random" else np.full(members, 20)
        accuracy = 0.95 - 0.1 * np.log(count) + hard[option] + generator.normal(0, 0.02, members)
        truth[0, query, here] = accuracy[:, None] + generator.normal(0, 0.01, (members, 2))
        noise = generator.normal(0, 1, (2, members))
        gbc, logme = accuracy + 0.05 * noise[0], -0.2 * np.log(count) - accuracy + 0.05 * noise[1]
        scores[0, :, query, here] = np.stack([gbc, logme, -np.log(count), np.full(members, 800.0)])
    return Cells(
        scenario="demo_targets",
        direction="target_selection",
        recipes=("head",),
        levels=("global",),
        queries=tuple(f"small_resnet_{source} · {'_'.join(options[option])}" for source, option in queries),
        candidates=tuple(names),
        metrics=("gbc", "logme", "minus_log_classes", "target_size"),
        kinds=("metric", "metric", "baseline", "baseline"),
        truth=truth,
        scores=scores,
        state=np.where(np.isnan(scores), INAPPLICABLE, OK).astype(np.int8),
        families=tuple(name.partition("_")[0] if families else "" for name in names),
        random_start=np.zeros(len(names), dtype=bool),
        present=present,
        query_families=tuple(options[option][0] for _, option in queries),
        query_groups=tuple(options[option][1] for _, option in queries),
        truth_measure="accuracy_over_chance",
    )
