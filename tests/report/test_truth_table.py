"""The table of truths in the report: what it says, its pictures, and a study that names no metric at all."""

from dataclasses import replace

import numpy as np
import pandas
import pytest

from tmbench.report.captions import captions
from tmbench.report.figures import Figures
from tmbench.report.page import render_page
from tmbench.report.truth_figures import _by_option, _source_panel, truth_figures
from tmbench.report.truths import primary, ranks_sources, truth_counts, truth_findings, truth_table, undecided
from tmbench.report.write import write_report
from tmbench.stats.bootstrap import Resampling
from tmbench.stats.truths import Runs


def runs(source, *values, target="clear", recipe="full", initialisation="", schedule=10.0, measure="box_ap"):
    of = (target, recipe, source, initialisation, "vit", 86e6, schedule, "protocol", measure)
    return Runs(*of, np.array(values, dtype=np.float64))


@pytest.fixture
def every():
    """Two targets, on one of which nothing differs; a second measure on the other."""
    return [
        runs("supervised", 0.40, 0.42, initialisation="supervised"),
        runs("supervised", 0.30, 0.31, initialisation="supervised", measure="mask_ap"),
        runs("none", 0.10, 0.12, initialisation="random"),
        runs("mae", 0.60, np.nan, initialisation="mae"),
        runs("supervised", 0.30, 0.50, target="noise", initialisation="supervised"),
        runs("none", 0.35, 0.45, target="noise", initialisation="random"),
    ]


def test_a_row_for_each_measure_the_recipes_own_first(every):
    table = truth_table(every)
    assert len(table) == 6
    assert list(primary(table)["measure"].unique()) == ["box_ap"]
    row = table[table["source"] == "mae"].iloc[0]
    assert (row["mean"], row["seeds"], row["missing"]) == (0.6, 1, 1)
    assert row["to_supervised"] == pytest.approx(0.19)
    assert row["to_random"] == pytest.approx(0.49)


def test_a_target_on_which_nothing_differs_is_said(every):
    table = truth_table(every)
    (sentence,) = undecided(primary(table))
    assert sentence.startswith("On noise the sources do not differ beyond the spread of seeds (recipe full, box_ap; F")
    (finding,) = truth_findings(table)
    assert finding.title == "truth: recipe full, box_ap"
    assert finding.headline == "The sources differ beyond the spread of seeds on 1 of 2 targets."
    assert sentence in finding.details
    assert any("mae on clear (0.600)" in text for text in finding.details)
    assert "1 truth is missing." in finding.details


def test_who_ties_is_not_called_the_best():
    table = truth_table([runs("a", 0.0), runs("b", 0.0), *(runs(s, 0.3, target="other") for s in "ab"),
                         runs("c", 0.1, target="other")])  # fmt: skip
    (finding,) = truth_findings(table)
    assert "Best: a and b on other (0.300). All sources reach the same on clear (0.000): none is the best." in (
        finding.details
    )


def test_the_best_of_many_targets_are_counted():
    table = truth_table([runs(s, 0.3 + n % 2 * (s == "b"), target=f"t{n}") for n in range(40) for s in "ab"]
                        + [runs(s, 0.3 + (s == "a"), target=f"more{n}") for n in range(3) for s in "ab"])  # fmt: skip
    (finding,) = truth_findings(table)
    best = finding.details[-1].partition(" All sources")[0]
    assert best.startswith("Best: b on t1 (1.300), t3 (1.300), ")
    assert best.count("(1.300)") == 5 + 3
    assert best.endswith("and 15 more; a on more0 (1.300), more1 (1.300), more2 (1.300).")
    table = truth_table([runs(s, 0.3 + (s == f"s{n}"), target=f"t{n}") for n in range(12)
                         for s in (f"s{m}" for m in range(12))])  # fmt: skip
    (finding,) = truth_findings(table)
    assert finding.details[-1].endswith("; s9 on t9 (1.300); others on 2 more.")


def test_where_targets_are_ranked_no_source_is_the_best(every):
    table = truth_table(every)
    (finding,) = truth_findings(table, ranked=False)
    assert finding.headline == "3 sources on 2 targets, which the metrics rank."
    assert finding.details[0] == "supervised reaches 0.400 on noise to 0.410 on clear."
    assert not any("differ" in text or "Best" in text for text in finding.details)


def test_whether_sources_are_ranked(study):
    reliability = study[2]["reliability"]
    assert ranks_sources(reliability)
    assert not ranks_sources(reliability.assign(direction="target_selection"))
    assert ranks_sources(reliability[:0])


def test_one_seed_claims_nothing(every):
    table = truth_table([replace(one, values=one.values[:1]) for one in every])
    (finding,) = truth_findings(table)
    assert (
        finding.headline == "One seed on 2 targets: whether the sources differ beyond the spread of seeds is not known."
    )
    assert not list(undecided(table))


def test_one_source_is_compared_with_none():
    (finding,) = truth_findings(truth_table([runs("a", 0.25, 0.5, target="x"), runs("a", 0.5, 0.5, target="y")]))
    assert finding.headline == "One source on 2 targets: none to compare it with."
    assert finding.details == ("a reaches 0.375 on x to 0.500 on y.",)


def test_many_targets_on_which_nothing_differs_have_one_sentence():
    table = truth_table([runs(s, 0.3, 0.5 + 0.01 * n, target=f"t{n}") for n in range(9) for s in "ab"])
    (sentence,) = undecided(primary(table))
    assert "On 9 targets (t0, t1, t2, t3, t4, t5, t6, t7 and 1 more) the sources do not differ" in sentence
    assert "F test, p from 1)" in sentence


def test_targets_of_an_option_share_a_panel():
    many = [runs(s, 0.3 + 0.01 * n, target=f"{o}.{n:03}") for s in "ab" for o in ("half", "random") for n in range(7)]
    assert [(one.target, one.source, len(one.values)) for one in _by_option(many)] == [
        ("half", "a", 7), ("random", "a", 7), ("half", "b", 7), ("random", "b", 7),
    ]  # fmt: skip
    (figure,) = truth_figures(many)
    assert "a dot a target" in figure.caption
    assert "The first" not in figure.caption


def test_a_recipe_without_any_truth_has_no_finding(every):
    table = truth_table([replace(one, values=np.full(2, np.nan)) for one in every])
    assert not truth_findings(table)
    assert [(count.number, count.what) for count in truth_counts(table)][-1] == (10, "truths missing")


def test_one_figure_a_recipe(every):
    (figure,) = truth_figures(every)
    assert figure.name == "truth"
    assert b"<svg" in figure.svg
    assert figure.png.startswith(b"\x89PNG")
    both = truth_figures([*every, *(replace(one, recipe="head", protocol="other") for one in every)])
    assert [one.name for one in both] == ["truth_full", "truth_head"]


@pytest.mark.parametrize("initialisation", ["random", "mae"])
def test_the_legend_has_random_starts_where_there_are_any(initialisation):
    from matplotlib.figure import Figure

    some = [runs("a", 0.3, 0.4), runs("b", 0.1, 0.2, target="other", initialisation=initialisation)]
    (figure,) = truth_figures(some)
    random = initialisation == "random"
    assert ("random starts in grey" in figure.caption) == random
    panel = Figure().subplots()
    _source_panel(panel, some[:1], ["a"], "seed", random)
    assert ("random start" in panel.get_legend_handles_labels()[1]) == random


def test_schedules_make_lines_over_epochs(every):
    longer = [replace(one, recipe="long", schedule=20.0) for one in every]
    assert [one.name for one in truth_figures([*every, *longer])] == ["truth_full", "truth_long", "truth_epochs"]


def test_pictures_are_the_same_each_time(every):
    (one,), (other,) = truth_figures(every), truth_figures(every)
    assert (one.svg, one.png) == (other.svg, other.png)


def test_nothing_to_draw_is_no_figure():
    assert truth_figures([]) == []
    assert truth_figures([runs("a", np.nan)]) == []


def test_a_study_without_metrics_has_a_whole_report(every, tmp_path):
    from tmbench.report.truths import reliability_table

    tables = {"truth": truth_table(every), "reliability": reliability_table([])}
    files = write_report(tmp_path, (), {}, Resampling(0), tables, {"commit": "abc"}, "Truths", truths=every)
    assert {f"tables/truth.{kind}" for kind in ("csv", "md", "tex")} <= set(files)
    assert {"figures/truth.svg", "figures/truth.png"} <= set(files)
    again = pandas.read_csv(files["tables/truth.csv"])
    assert list(again["source"]) == [one.source for one in every]
    page = files["report"].read_text()
    assert "do not differ beyond the spread of seeds" in page
    assert "Win rate" not in page
    assert 'href="#short"' not in page


def test_captions_of_truths_speak_of_no_setups(every, study):
    _, scenes, tables = study
    text = captions(scenes, {**tables, "truth": truth_table(every)}, Resampling(0))["truth"]
    assert "setups" not in text
    assert "F test" in text


def test_the_page_of_a_study_with_metrics_has_the_truths_too(every, study, measures):
    _, scenes, tables = study
    tables = {**tables, "truth": truth_table(every)}
    texts = captions(scenes, tables, Resampling(0))
    page = render_page("x", scenes, measures, Resampling(0), tables, texts, Figures(), {}, "")
    assert "differ beyond the spread of seeds on 1 of 2 targets" in page
    assert 'href="#short"' in page


def test_the_page_of_target_selection_calls_no_source_the_best(every, target_cells):
    from tmbench.report.truths import reliability_table
    from tmbench.reporting import _undecided

    tables = {"truth": truth_table(every), "reliability": reliability_table([target_cells()])}
    assert _undecided(tables) == []
    page = render_page("x", (), {}, Resampling(0), tables, dict.fromkeys(tables, ""), Figures(), {}, "")
    assert "which the metrics rank" in page
    assert "whatever ranks them there ranks luck" not in page
