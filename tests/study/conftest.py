"""Tables of cells written and read."""

import pandas as pd
import pytest
from tables_work import JOINED

from tmbench.study.tables import cells_option, read_cells


@pytest.fixture
def read(tmp_path):
    """Reads text, or a data frame, as one table; warnings are in ``read.warnings``."""

    def call(content=JOINED, name="table.csv", **settings):
        path = tmp_path / name
        if isinstance(content, pd.DataFrame):
            content.to_parquet(path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        call.warnings, call.path = [], path
        return read_cells(cells_option(str(path), settings), warnings=call.warnings)

    return call


@pytest.fixture
def read_two(tmp_path):
    """Reads two tidy tables."""

    def call(truths, scores, **settings):
        (tmp_path / "truths.csv").write_text(truths)
        (tmp_path / "scores.csv").write_text(scores)
        call.warnings = []
        return read_cells(cells_option(str(tmp_path), settings), warnings=call.warnings)

    return call
