"""Cells of the demo's shape, made by a generator: two families, random starts, LEEP inapplicable on these."""

import itertools

import numpy as np

from tmbench.stats.cells import INAPPLICABLE, OK, Cells, common_candidates
from tmbench.stats.measures import MEASURES
from tmbench.stats.outcomes import evaluate_study

FUNCTIONS = {name: entry.function for name, entry in MEASURES.items()}


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


def make_outcomes(cells, size=5):
    """All pools of ``size`` of the common candidates."""
    common = common_candidates(cells)

    def pools(query):
        return [np.array(list(itertools.combinations(np.flatnonzero(common[query]), size)))]

    return evaluate_study(cells, pools, FUNCTIONS)
