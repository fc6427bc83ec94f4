"""The pictures and the short tables of a curriculum."""

from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from tmbench.report.curricula import curriculum_rows, facts, print_curricula, spoken
from tmbench.report.curriculum_figures import curriculum_figures, places
from tmbench.stats.curriculum import Curriculum
from tmbench.stats.transfer import Transfer, evaluated


def transfer(tasks=6, seeds=2, scratch=True, metric="hscore", **changes):
    """So many tasks, each with a source, a random start and a pair; truths go with scores, but for noise."""
    draw = np.random.default_rng(tasks)
    sources = [f"s{i}" for i in range(tasks)] + ["random", "s0+s1"]
    scores = draw.random((tasks + 2, tasks)) + 0.1
    scores[np.arange(tasks), np.arange(tasks)] = 2.0
    scores[tasks] *= 0.5
    own = np.zeros(scores.shape, dtype=bool)
    own[np.arange(tasks), np.arange(tasks)] = own[tasks + 1, :2] = True
    truths = scores[..., None] / 2 + draw.normal(0, 0.02, (*scores.shape, seeds))
    truths[own] = np.nan
    members = (*((i,) for i in range(tasks)), (), (0, 1))
    fields = {
        "sources": tuple(sources),
        "targets": tuple(f"task {i}" for i in range(tasks)),
        "tasks": tuple((i, i) for i in range(tasks)),
        "scratch": tasks if scratch else None,
        "members": members,
        "units": tuple(sources[:tasks]),
        "own": own,
        "scores": scores,
        "truths": truths,
        "truth_measure": "accuracy",
    }
    return Transfer(metric, "penultimate", "head", **{**fields, **changes})


def evaluation(**changes):
    one = transfer(**changes)
    return evaluated(one, range(1, len(one.units) + 1), 0.9, np.random.default_rng(0))


@pytest.mark.parametrize("changes", [{}, {"tasks": 9}, {"scratch": False}, {"seeds": 1}, {"tasks": 2}])
def test_the_files_are_pictures_and_the_same_each_time(changes):
    one = evaluation(**changes)
    files = curriculum_figures([one, evaluation(**changes, metric="logme")])
    assert set(files) == {
        f"{name}.{kind}" for name in ("transfer_graph", "order_against_random") for kind in ("png", "pdf")
    }
    assert all(content.startswith(b"\x89PNG" if name.endswith("png") else b"%PDF") for name, content in files.items())
    assert curriculum_figures([one, evaluation(**changes, metric="logme")]) == files


def test_without_truths_there_is_no_comparison():
    one = evaluation(truths=np.full((8, 6, 2), np.nan))
    assert set(curriculum_figures([one])) == {"transfer_graph.png", "transfer_graph.pdf"}
    assert facts([one])[0]["against_random"] is None


@pytest.mark.parametrize("seed", range(4))
def test_no_two_nodes_share_a_place_and_no_lines_cross(seed):
    draw = np.random.default_rng(seed)
    order = tuple(int(task) for task in draw.permutation(8))
    parents = [0] * 8
    for place, task in enumerate(order):
        earlier = (8, *order[:place])
        parents[task] = int(draw.choice(earlier))
    at = places(Curriculum(order, tuple(parents)))
    assert at[8][0] == 0
    assert len(set(at.values())) == 9
    for task, parent in enumerate(parents):
        assert at[task][0] == at[parent][0] + 1
    lines = [(at[parent], at[task]) for task, parent in enumerate(parents)]
    for (a, b), (c, d) in ((one, other) for one in lines for other in lines if one[0][0] == other[0][0]):
        assert (a[1] - c[1]) * (b[1] - d[1]) >= 0


def test_the_terminal_has_the_matrix_the_order_chance_and_the_sets():
    text = StringIO()
    print_curricula([evaluation()], Console(file=text, width=120))
    shown = text.getvalue()
    for words in ("transfer · hscore · penultimate · recipe head", "(own)", "in which order to learn", "at most 3"):
        assert words in shown
    assert "the mean of all 720" in " ".join(shown.split())
    assert "all ≥ 0.9 of best" in shown
    assert not any(line.endswith(" ") for line in shown.splitlines())


def test_what_all_names_share_is_not_said():
    assert spoken(["common_class", "common_count"]) == {"common_class": "class", "common_count": "count"}
    assert spoken(["my_common_a", "my_common_b"])["my_common_a"] == "a"
    assert spoken(["common_class", "digits"]) == {"common_class": "common_class", "digits": "digits"}
    assert spoken(["common_class"]) == {"common_class": "common_class"}


def test_rows_follow_the_order():
    one = evaluation()
    rows = list(curriculum_rows(one))
    assert [row["place"] for row in rows] == [1, 2, 3, 4, 5, 6]
    learned = {"scratch"}
    for row in rows:
        assert row["parent"] in learned
        learned.add(row["task"])
        assert row["truth"] <= row["best"] + 1e-12


def test_what_cannot_be_normalised_is_ranged():
    """A metric that may be negative, a target without a source of its own, or without its score."""
    assert transfer().scale == "normalised"
    assert np.nanmax(transfer().values) < 1
    scores = transfer().scores.copy()
    for change in ({"scores": scores - 1}, {"scores": _without_own(scores)}):
        one = transfer(**change)
        assert one.scale == "ranged"
        assert (np.nanmin(one.values, axis=0), np.nanmax(one.values, axis=0)) == (
            pytest.approx(np.zeros(6)),
            pytest.approx(np.ones(6)),
        )


def _without_own(scores):
    found = scores.copy()
    found[2, 2] = np.nan
    return found
