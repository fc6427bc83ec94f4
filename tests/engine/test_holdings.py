"""Who holds which units: processes, announced jobs and their verdicts. SLURM's own answers: tests/slurm."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from tmbench.engine.claims import Job, Owner, confirmed, dropped, read_claim, read_claims
from tmbench.engine.holdings import Holding, held_units, holdings, take
from tmbench.engine.markers import Marker, marker_path, markers, read_marker
from tmbench.engine.slurm.site import Element, queue
from tmbench.files import StoreError

JOBS = (Job("tmbench-a", (0, 1), (("u0", "u1"), ("u2",))), Job("tmbench-b", (2,), (("u3",),)))
UNITS = ("u0", "u1", "u2", "u3")

SQUEUE = """#!{python}
import json, pathlib, sys
names = [word[7:].split(",") for word in sys.argv if word.startswith("--name=")][0]
jobs = json.loads(pathlib.Path("{jobs}").read_text())
if jobs is None:
    sys.exit("slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
for job, name in jobs:
    if name in names:
        print("\\x1f".join([job, "RUNNING", "None", "node1", "0:07", name]))
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    """What squeue answers: (job, name) pairs, or None for a controller that does not answer."""
    jobs = tmp_path / "jobs.json"
    for name in ("squeue", "sbatch", "scancel", "scontrol"):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(SQUEUE.format(python=sys.executable, jobs=jobs))
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    # Not as patient as a user's run: the answers here do not change while one waits.
    monkeypatch.setattr("tmbench.engine.holdings.queue", lambda names, patience: queue(names, 2.0))

    def answers(*pairs):
        jobs.write_text(json.dumps(list(pairs) if pairs != (None,) else None))

    answers()
    return answers


@pytest.fixture
def claims(tmp_path):
    return tmp_path / "store" / "claims"


def announced(claims, alive=True):
    claim, _ = take(claims, UNITS, "demo")
    claim = claim.announce(JOBS, claims.parent / "run")
    if not alive:
        content = json.loads(claim.path.read_text())
        content["owner"]["started"] = "long ago"
        claim.path.write_text(json.dumps(content))
        claim = read_claim(claim.path)
    return claim


def test_an_announcement_is_read_back(claims, site):
    claim = announced(claims)
    assert read_claims(claims) == [claim]
    assert claim.units == set(UNITS)
    assert claim.sweep == "demo"


def test_a_job_about_to_be_submitted_holds_its_units(claims, site):
    announced(claims)
    assert held_units(claims.parent) == set(UNITS)


def test_a_confirmed_job_holds_what_its_living_elements_hold(claims, site):
    claim = announced(claims, alive=False)
    assert claim.confirm(0, "17")
    assert claim.confirm(1, "18")
    site(("17_1", "tmbench-a"))
    (held,) = holdings(claims)
    assert held.units == {"u2"}
    assert held.who == "SLURM job 17"
    assert take(claims, UNITS)[0].units == {"u0", "u1", "u3"}


def test_a_job_that_its_dead_run_could_not_confirm_keeps_its_units_once_it_works(claims, site):
    claim = announced(claims, alive=False)
    site(("17_[0-1]", "tmbench-a"))
    assert confirmed(claim.path, 0, "17")  # as its first worker does
    mine, others = take(claims, UNITS)
    assert mine.units == {"u3"}
    assert [sorted(held.units) for held in others] == [["u0", "u1", "u2"]]


def test_a_job_never_seen_is_made_void_and_can_do_nothing_later(claims, site):
    claim = announced(claims, alive=False)
    assert holdings(claims)[0].orphans == (0, 1)
    assert take(claims, UNITS)[0].units == set(UNITS)
    assert claim.verdict(0) == ""
    assert not confirmed(claim.path, 0, "17")


def test_the_first_verdict_holds(claims, site):
    claim = announced(claims)
    assert confirmed(claim.path, 0, "17")
    assert not claim.void(0)
    assert claim.void(1)
    assert not claim.confirm(1, "18")


def test_many_verdicts_at_once_agree(claims, site, tmp_path):
    claim = announced(claims)
    code = (
        "import sys; from pathlib import Path; from tmbench.engine.claims import _decide;"
        "print('ready', flush=True); sys.stdin.readline();"
        "print(_decide(Path(sys.argv[1]), 0, sys.argv[2]))"
    )
    run = [sys.executable, "-c", code, str(claim.path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    children = [subprocess.Popen([*run, verdict], **pipes) for verdict in ["", "17"] * 3]
    assert {child.stdout.readline() for child in children} == {"ready\n"}
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    assert len({child.communicate(timeout=60)[0] for child in children}) == 1


def test_a_job_being_submitted_anew_holds_all_its_units(claims, site):
    """Its first sbatch was heard, its answer lost; the queue still lists one element that is being ended."""
    announced(claims)
    site(("17_1", "tmbench-a"))
    assert held_units(claims.parent) == set(UNITS)
    assert take(claims, UNITS)[0].units == frozenset()


def test_a_worker_that_starts_while_the_queue_is_asked_is_not_dead(claims, site):
    claim = announced(claims, alive=False)
    folder = claims.parent / "run"
    folder.mkdir()
    path = marker_path(str(folder / "units.parquet"), 0)
    path.write_text(Marker(path, 0, "u0", "17_0").content())
    (held,) = holdings(claims)
    assert held.orphans == (0, 1)
    assert held.dead() == []
    claim.confirm(0, "17")
    (held,) = holdings(claims)
    assert [marker.unit for marker in held.dead()] == ["u0"]


def test_a_claim_that_was_given_back_cannot_be_announced(claims, site):
    claim, _ = take(claims, UNITS)
    claim.release()
    with pytest.raises(StoreError, match="run again"):
        claim.announce(JOBS, claims.parent / "run")


def test_twenty_thousand_elements(claims, site):
    chunks = tuple(range(20_000))
    claim, _ = take(claims, ["u"])
    claim = replace(claim, jobs=(Job("tmbench-a", chunks, (("u",),) * 20_000),))
    elements = tuple(Element(f"1_{i}", "1", i, "tmbench-a", "RUNNING", "None", "node1", 1.0) for i in chunks)
    assert Holding(claim, claim.units, elements).chunks() == set(chunks)


def test_where_slurm_does_not_answer_nothing_is_taken_over(claims, site):
    claim = announced(claims, alive=False)
    claim.confirm(0, "17")
    claim.void(1)
    site(None)
    (held,) = holdings(claims)
    assert held.units == {"u0", "u1", "u2"}
    assert "squeue" in held.unsure or "SLURM" in held.unsure
    assert take(claims, UNITS)[0].units == {"u3"}


def test_released_jobs_hold_nothing_and_a_late_worker_of_a_void_one_does_nothing(claims, site):
    claim = announced(claims, alive=False)
    claim.void(0)
    claim.release()
    assert holdings(claims) == []
    assert not confirmed(claim.path, 0, "17")


def test_dropped_units_add_up(claims, site):
    claim = announced(claims)
    assert dropped(claim.path) == frozenset()
    claim.drop({"u0"})
    claim.drop({"u2"})
    assert dropped(claim.path) == {"u0", "u2"}


def test_units_in_progress_are_those_of_living_elements(claims, site, tmp_path):
    claim = announced(claims, alive=False)
    claim.confirm(0, "17")
    folder = claims.parent / "run"
    folder.mkdir()
    for chunk, unit in ((0, "u0"), (1, "u2")):
        path = marker_path(str(folder / "units.parquet"), chunk)
        path.write_text(Marker(path, chunk, unit, f"17_{chunk}").content())
    site(("17_1", "tmbench-a"))
    assert holdings(claims)[0].in_progress() == {"u2"}
    assert {marker.unit for marker in markers(folder)} == {"u0", "u2"}


def test_a_torn_marker_is_none(tmp_path):
    path = tmp_path / "units.chunk3"
    assert read_marker(path) is None
    path.write_text('{"unit": "u')
    assert read_marker(path) is None


def test_the_owner_of_these_tests_lives():
    assert Owner.current().alive()
