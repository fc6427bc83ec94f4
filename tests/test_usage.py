"""What needs no run: bad usage, what there is to show, plans of published tables and of one's own."""

from pathlib import Path

import pytest
from verbs_work import facts, said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["plan", "sweep=dmo"], "no sweep is named 'dmo'. Nearest: 'demo'"),
        (["plan", "sweep=demo", "metric=logmee"], "no metric is named 'logmee'. Nearest: 'logme'"),
        (["plan", "sweep=demo", "cluster=slrum"], "no cluster is named 'slrum'"),
        (["plan", "sweep=demo", "cluster.wokers=2"], "Nearest: 'workers'"),
        (["plan", "sweep=demo", "paths.store=/etc/passwd"], "is a file; name a folder"),
        (["plan", "sweep=demo", "seed=[]"], "seed from the command line"),
        (["plan", "sweep=demo", "target=[digit]"], "no target is named 'digit'. Nearest: 'digits'"),
        (["run", "sweep=demo", "retry=ooom"], "no class of failure is named 'ooom'"),
        (["status", "sweep=demo", "clutser=debug"], "Nearest: 'cluster'"),
        (["plan"], "say which study: sweep=NAME"),
        (["show", "metric=hscor"], "Nearest: 'hscore'"),
        (["show", "things"], "no kind is named 'things'"),
        (["show", "sweep=stability", "setup=1134240"], "stability has 1,134,240, numbered 0 to 1,134,239"),
        (["show", "sweep=stability", "setup=x"], "setup=x: give one whole number"),
        (
            ["show", "sweep=stability", "setup=3", "pool.size=19", "recipe=full", "cells=segmentation_sources"],
            "no setup",
        ),
        (["plan", "sweep=stability", "target=camvd"], "no target is named 'camvd'. Nearest: 'camvid'"),
        (["plan", "sweep=stability", "pool.size=1"], "error: pool.size=1: pool.size is how many candidates"),
        (["plan", "sweep=stability", "pool=[leave_5_out,size_matched_5]"], "size_matched_5"),
        (["plan", "cells=nothing.csv"], "there is no file nothing.csv"),
        (["pln"], "no verb is named 'pln'. Nearest: 'plan'"),
    ],
)
def test_bad_usage_gets_one_sentence_and_code_2(capsys, words, says):
    code, out, err = said(capsys, *words)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert says in err


def test_show_lists_everything(capsys):
    listed = facts(capsys, "show")
    assert {"hscore", "logme", "leep", "nleep", "gbc"} <= set(listed["metrics"])
    assert "demo" in listed["sweeps"]
    for kind in ("sources", "targets", "recipes", "metrics", "measures", "pools", "levels", "cells", "sweeps"):
        code, out, _ = said(capsys, "show", kind)
        assert code == 0
        assert all(name in out for name in listed[kind])
    assert "Bao et al." in said(capsys, "show", "metric=hscore")[1]


def test_a_sweep_of_published_tables_has_nothing_to_run(capsys):
    code, out, err = said(capsys, "plan", "sweep=stability")
    assert (code, err) == (0, "")
    assert "1,134,240" in out
    assert "full  297,024 segmentation_sources + 418,608 classification_architectures = 715,632" in out
    assert "head  418,608 classification_architectures" in out
    assert out.splitlines()[-1] == "next: tmbench aggregate sweep=stability"
    for verb in ("run", "status"):
        code, out, err = said(capsys, verb, "sweep=stability")
        assert (code, err) == (0, "")
        assert out.splitlines()[0] == "stability: nothing needs to run, its truths and scores stand in tables"
        assert out.splitlines()[-1] == "next: tmbench aggregate sweep=stability"
    plan = facts(capsys, "plan", "sweep=stability", "measure=pearson")
    assert plan["setups"] == 1_134_240 // 4
    assert [one["recipes"] for one in plan["scenarios"]] == [{"full": 74_256}, {"full": 104_652, "head": 104_652}]
    assert facts(capsys, "status", "sweep=stability")["failures"] == []


def test_a_scenario_without_a_pool_is_said(capsys):
    out = said(capsys, "plan", "sweep=stability", "pool.size=18")[1]
    assert "warning: no setup in segmentation_sources: at most 16 candidates of a target" in out


def test_one_setup_by_its_number(capsys):
    words = ("show", "sweep=stability", "setup=412388")
    setup = facts(capsys, *words)
    assert setup["scenario"] == "classification_architectures"
    assert len(setup["pool"]) == 14
    code, out, _ = said(capsys, *words)
    assert code == 0
    for said_too in (setup["id"], setup["pool_id"], setup["query"], setup["measure"], setup["recipe"], setup["level"]):
        assert said_too in out
    assert all(f"  {text}" in out.splitlines() for text in setup["overrides"])
    assert facts(capsys, "show", "sweep=demo", "setup=0")["overrides"][0].startswith("+target=")
    assert "of which" in said(capsys, "show", "sweep=stability_notebook", "setup=500")[1]


def test_text_in_a_table_is_warned_of(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.csv").write_text("source,target,truth,logme\na,t,0.5,1\nb,t,0.6,n.a.!\nc,t,0.7,2\n")
    code, out, err = said(capsys, "plan", "cells=mine.csv")
    assert code == 0
    assert out.splitlines()[-1] == "next: tmbench aggregate cells=mine.csv"
    assert "\nwarning: mine.csv: column 'logme' has text that is no number, 'n.a.!' in row 3" in err
