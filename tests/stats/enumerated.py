"""The statistics by their definitions: every setup in a list, every value from scipy, every pair visited."""

import itertools
import math
import warnings
from collections import defaultdict
from statistics import fmean

import numpy as np
import scipy.stats


def correlation(name):
    def value(truth, scores):
        if len(set(scores)) == 1:
            return 0.0 if len(set(truth)) > 1 else math.nan
        function = getattr(scipy.stats, {"kendall_tau": "kendalltau", "pearson": "pearsonr"}.get(name, "weightedtau"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return float(function(truth, scores)[0])

    return value


def rel_at_1(truth, scores):
    chosen = [a for a, s in zip(truth, scores, strict=True) if s == max(scores)]
    return fmean(chosen) / max(truth)


MEASURES = {
    **{name: correlation(name) for name in ("weighted_tau", "kendall_tau", "pearson")},
    "rel_at_1": rel_at_1,
}


class Enumerated:
    """Every setup of ``cells`` over ``chunks``: a dict of its axes → a dict of metric → value."""

    def __init__(self, cells, chunks, seed=None):
        self.cells = cells
        self.setups = {}
        chunks = list(chunks)
        for (r, recipe), (v, level), (q, query) in itertools.product(
            enumerate(cells.recipes), enumerate(cells.levels), enumerate(cells.queries)
        ):
            truth = cells.mean_truth[r, q] if seed is None else cells.truth[r, q, :, seed]
            for chunk in chunks:
                for members, serves in zip(chunk.members, chunk.serves, strict=True):
                    if not serves[q]:
                        continue
                    pool = tuple(np.flatnonzero(members & cells.eligible[q]))
                    for name, measure in MEASURES.items():
                        values = {
                            metric: self._value(measure, truth[list(pool)], cells.scores[v, m, q, list(pool)])
                            for m, metric in enumerate(cells.metrics)
                        }
                        self.setups[recipe, level, query, tuple(np.flatnonzero(members)), name] = values

    def _value(self, measure, truth, scores):
        if np.isnan(truth).any() or np.isnan(scores).any():
            return math.nan
        return measure(truth.tolist(), scores.tolist())

    def of(self, recipe, level):
        """The values (setups, metrics) of one slice, rounded so that equal rankings are equal."""
        rows = [list(values.values()) for key, values in self.setups.items() if key[:2] == (recipe, level)]
        return np.round(np.array(rows), 12)

    def stability(self, varied, **held):
        """The mean over groups of the mean τ_b over pairs, each from scipy."""
        axes = ("recipe", "level", "query", "pool", "measure")
        groups = defaultdict(list)
        for key, values in self.setups.items():
            names = dict(zip(axes, key, strict=True))
            if all(names[axis] == value for axis, value in held.items()):
                group = tuple(value for axis, value in names.items() if axis != varied)
                groups[group].append([round(value, 12) for value in values.values()])
        return agreement(groups.values())


def agreement(groups):
    scores = []
    for members in groups:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = [scipy.stats.kendalltau(a, b)[0] for a, b in itertools.combinations(members, 2)]
        found = [value for value in found if not math.isnan(value)]
        if found:
            scores.append(fmean(found))
    return fmean(scores) if scores else math.nan
