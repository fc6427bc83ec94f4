"""One folder, one report: what an earlier run left goes, what is the user's stays, and a full disk is told."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tmbench.files import StoreError
from tmbench.report import write_report
from tmbench.stats.bootstrap import Resampling


@pytest.fixture
def write(make_cells, make_tables, measures):
    """Write the report of a small study whose scenarios have these names."""

    def report(out, *names):
        cells = make_cells(queries=2).only(recipes=["full"], metrics=["hscore", "gbc"])
        scenes, tables = make_tables(*(replace(cells, scenario=name) for name in names))
        return write_report(out, scenes, measures, Resampling(0), tables, {"commit": "x"}, "t")

    return report


def files(out):
    return {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}


def test_what_an_earlier_report_left_is_removed(write, tmp_path):
    write(tmp_path, "one", "two")
    assert "figures/win_rate_two.svg" in files(tmp_path)
    (tmp_path / "figures" / "mine.svg").write_text("mine")
    after = write(tmp_path, "one")
    assert files(tmp_path) == {*after, "figures/mine.svg"} - {"report"}
    assert "figures/win_rate_two.svg" not in files(tmp_path)
    assert json.loads((tmp_path / "provenance.json").read_text())["files"] == sorted({*after} - {"report"})


@pytest.mark.parametrize(
    "listed",
    [["../mine.txt", "tables/../../mine.txt", "tables/..", "/etc/mine.txt", "mine.txt", 7, None], "mine.txt", {"a": 1}],
)
def test_no_file_outside_the_report_is_removed(write, tmp_path, listed):
    out = tmp_path / "out"
    out.mkdir()
    mine = [tmp_path / "mine.txt", out / "mine.txt"]
    for path in mine:
        path.write_text("mine")
    (out / "provenance.json").write_text(json.dumps({"files": listed}))
    write(out, "one")
    assert all(path.read_text() == "mine" for path in mine)


@pytest.mark.parametrize("content", ["no json", "[1]", "\udcff"])
def test_a_provenance_that_says_nothing_is_replaced(write, tmp_path, content):
    (tmp_path / "provenance.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    assert write(tmp_path, "one")["provenance.json"].stat().st_size > 100


def test_a_disk_that_is_full_leaves_the_earlier_report_whole(write, tmp_path, monkeypatch):
    write(tmp_path, "one")
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    opened = Path.open

    def full(path, *args, **options):
        if path.name.startswith(".report.html."):
            raise OSError(28, "No space left on device")
        return opened(path, *args, **options)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(
        StoreError, match=r"No space left on device.* is as it was before, and has no file of this run\.$"
    ):
        write(tmp_path, "two")
    monkeypatch.undo()
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before


def test_a_report_that_is_half_replaced_is_said(write, tmp_path):
    write(tmp_path, "one")
    # A folder in the place of a file: it cannot be replaced.
    (tmp_path / "report.html").unlink()
    (tmp_path / "report.html").mkdir()
    with pytest.raises(StoreError, match=r"cannot replace .*report\.html.* now holds files of two runs.*run the same"):
        write(tmp_path, "one")
    assert not [name for name in files(tmp_path) if ".tmp" in name]
