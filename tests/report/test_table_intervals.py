"""When the tables have intervals, over queries and over families of candidates."""

from dataclasses import replace

INTERVALS = ("win_rate", "win_rate_by_measure", "means", "stability", "pairwise", "by_candidates")


def test_few_queries_give_values_without_intervals(make_cells, make_tables):
    _, tables = make_tables(make_cells(queries=5), draws=300)
    for name in INTERVALS:
        assert tables[name][["low", "high"]].isna().all(axis=None)
    assert tables["win_rate"].loc[tables["win_rate"]["kind"] == "metric", "split"].notna().all()


def test_no_draws_give_no_intervals_and_keep_p(make_cells, make_tally, make_tables):
    cells = replace(make_cells(), families=("a", "b", "c", "d", "e") * 2)
    without = [make_tally(cells.without_family(name)) for name in "abcde"]
    _, tables = make_tables(cells, draws=0, without=without)
    for name in INTERVALS:
        assert tables[name][["low", "high"]].isna().all(axis=None)
    assert tables["win_rate"][["family_low", "family_high"]].isna().all(axis=None)
    assert tables["pairwise"][["p", "p_holm"]].notna().all(axis=None)


def test_families_deleted_in_turn_give_an_interval(make_cells, make_tally, make_tables):
    cells = replace(make_cells(), families=("a", "b", "c", "d", "e") * 2)
    without = [make_tally(cells.without_family(name)) for name in "abcd"]
    wins = make_tables(cells, draws=300, without=without)[1]["win_rate"]
    field = wins[wins["kind"] == "metric"]
    assert (field["family_low"] <= field["split"]).all()
    assert (field["split"] <= field["family_high"]).all()
    assert (field["family_low"] < field["family_high"]).any()
    assert field[["family_low", "family_high"]].stack().between(0, 1).all()
    assert wins[wins["kind"] != "metric"]["family_low"].isna().all()


def test_a_family_that_the_field_hangs_on_gives_no_interval(make_cells, make_tally, make_tables):
    cells = replace(make_cells(), families=("a", "b", "c", "d", "e") * 2)
    without = [make_tally(cells.without_family(name)) for name in "abc"]
    without.append(make_tally(cells.without_family("d").only(metrics=["hscore", "logme", "gbc", "source_size"])))
    wins = make_tables(cells, draws=300, without=without)[1]["win_rate"]
    assert wins[["family_low", "family_high"]].isna().all(axis=None)
