"""The figures of stability where there are too few queries to say anything."""

from dataclasses import replace

import pytest

from tmbench.report.canvas import drawing
from tmbench.report.stability_figures import convergence_figure


@pytest.mark.parametrize(("queries", "family"), [(6, "one"), (1, "")])
def test_queries_of_one_family_have_a_figure(make_cells, make_tables, queries, family):
    cells = replace(make_cells(queries=queries), query_families=(family,) * queries)
    table = make_tables(cells)[1]["convergence"]
    assert "queries" not in set(table["unit"])
    with drawing():
        (figure,) = convergence_figure(table)
    assert figure.png.startswith(b"\x89PNG")
