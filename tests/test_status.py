"""Status: what it counts, what it says of costs, workers and troubles, what it asks SLURM, and how it is watched."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from status_work import Site, Stored
from verbs_work import facts, said

from tmbench.engine.slurm.reasons import in_words


@pytest.fixture
def stored(tiny):
    return Stored(tiny)


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.setattr("tmbench.watching.PATIENCE_SECONDS", 1.0)
    return Site(tmp_path, monkeypatch)


def stages(capsys, words):
    return facts(capsys, "status", *words)["stages"]


def test_running_is_what_a_worker_has_in_hand_and_queued_what_a_run_holds(stored, site, tiny, capsys):
    pretrain, truth = stored.of("pretrain"), stored.of("truth")
    stored.finish(pretrain[:1])
    claim = stored.announce(pretrain[1:2], truth[:4], truth[4:6])
    site.answers(("17_0", "RUNNING", "None", "tmbench-a"), ("17_1", "RUNNING", "None", "tmbench-a"),
                 ("17_2", "PENDING", "Priority", "tmbench-a"))  # fmt: skip
    stored.mark(claim.folder, 0, pretrain[1], "17_0")
    stored.mark(claim.folder, 1, truth[1], "17_1")
    stored.finish(truth[:1])
    found = facts(capsys, "status", *tiny)
    assert found["stages"]["pretrain"] == {"done": 1, "running": 1, "pending": 1}
    assert found["stages"]["truth"]["running"] == 1
    assert found["stages"]["truth"]["queued"] == 4
    assert found["stages"]["truth"]["done"] == 1
    assert site.asked == 1
    code, out, _ = said(capsys, "status", *tiny)
    assert code == 1
    assert out.splitlines()[0].split() == ["done", "running", "queued", "failed", "waiting", "to", "do", "left"]
    assert "at work: SLURM job 17: 6 units, 2 running\n  1 waiting for jobs of higher priority\n" in out
    assert out.splitlines()[-1].startswith("next: tmbench status --watch --config-dir conf")


def test_a_run_of_this_machine(stored, tiny, tmp_path, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    truth = stored.of("truth")
    stored.hold(truth[:5], folder)
    stored.mark(folder, 0, truth[0])
    stored.mark(folder, 1, truth[3])
    found = facts(capsys, "status", *tiny)
    assert found["stages"]["truth"]["running"] == 2
    assert found["stages"]["truth"]["queued"] == 3
    (crew,) = found["at_work"]
    assert (crew["kind"], crew["units"], crew["in_hand"]) == ("process", 5, 2)
    # What is in hand is half done, as far as anybody knows.
    work = sum(unit.minutes for unit in truth[:5]) - (truth[0].minutes + truth[3].minutes) / 2
    assert found["minutes_to_finish"] == pytest.approx(work / 2)
    out = said(capsys, "status", *tiny)[1]
    assert f"at work: the run of process {os.getpid()} on" in out
    assert "5 units, 2 of them in hand" in out


def test_what_is_tried_again_is_queued_and_what_has_just_failed_again_is_not(stored, site, tiny, capsys):
    truth = stored.of("truth")[:3]
    stored.fail(truth, "out_of_memory")
    assert stages(capsys, tiny)["truth"]["failed"] == 3
    claim = stored.announce(truth)
    site.answers(("17", "RUNNING", "None", "tmbench-a"))
    assert stages(capsys, tiny)["truth"]["queued"] == 3
    stored.fail(truth[:1], "out_of_memory", ago=0.0, run=Path(claim.folder).name)
    found = stages(capsys, tiny)["truth"]
    assert (found["queued"], found["failed"]) == (2, 1)


def test_slurm_is_asked_once_and_only_where_jobs_are_announced_and_something_is_left(stored, site, tiny, capsys):
    said(capsys, "status", *tiny)
    stored.hold(stored.of("pretrain"))
    said(capsys, "status", *tiny)
    assert site.asked == 0
    for number in range(3):
        stored.announce(stored.of("truth")[number : number + 1], name=f"tmbench-{number}", job=str(20 + number))
    before = site.asked  # by the runs
    said(capsys, "status", *tiny)
    assert site.asked == before + 1
    stored.finish(stored.units)
    assert said(capsys, "status", *tiny)[0] == 0
    assert site.asked == before + 1


def test_what_slurm_does_not_tell_is_said_to_be_unknown(stored, site, tiny, capsys):
    stored.announce(stored.of("truth")[:4])
    site.is_away()
    start = time.monotonic()
    code, out, _ = said(capsys, "status", *tiny)
    assert time.monotonic() - start < 5
    assert code == 1
    assert "not known: whether these jobs wait, run or are over: SLURM does not answer" in out
    assert stages(capsys, tiny)["truth"]["queued"] == 4


def test_without_slurm_results_of_a_cluster_can_be_read(stored, tiny, capsys, monkeypatch):
    stored.announce(stored.of("truth")[:4])
    monkeypatch.setenv("PATH", "/nowhere")
    code, out, _ = said(capsys, "status", *tiny)
    assert code == 1
    assert "there is no SLURM here" in out


def test_costs(stored, tiny, capsys):
    stored.finish(stored.of("pretrain"), ago=600, seconds=60.0, gpus=2.0)
    stored.finish(stored.of("truth")[:16], ago=300, seconds=90.0, cpus=4.0)
    stored.fail(stored.of("truth")[16:17], ago=200)
    found = facts(capsys, "status", *tiny)
    assert found["spent"]["gpu_hours"] == pytest.approx(3 * 60 * 2 / 3600)
    assert found["spent"]["core_hours"] == pytest.approx((4 * 16 * 90 + 10) / 3600)
    assert found["left"]["truth"] == {"gpu_hours": 0.0, "core_hours": pytest.approx(15 * 90 / 3600)}
    # 20 units since the first began, 660 s ago.
    assert found["pace"]["units_per_hour"] == pytest.approx(20 * 3600 / 660, rel=0.02)
    assert found["minutes_to_finish"] is None
    out = said(capsys, "status", *tiny)[1]
    assert "spent: 6.0 GPU-minutes, 1.6 core-hours" in out
    assert "time:" not in out
    assert "pace:" not in out


def test_what_others_spent_in_the_same_store_is_theirs(stored, tiny, capsys):
    stored.finish(stored.units, seconds=60.0)
    found = facts(capsys, "status", *tiny, "source=tiny_random", "recipe=head", "target=tiny_digits")
    assert found["spent"]["core_hours"] == pytest.approx(3 * 60 / 3600)  # a pass and two seeds


def test_chunks_that_were_given_up_are_shown_while_their_units_are_to_do(stored, tiny, capsys):
    randoms = [unit for unit in stored.of("truth") if unit.source == "tiny_random"]
    stored.fail(randoms[:1], "missing_data")
    stored.give_up(randoms[1:5], ago=100)
    stored.give_up(randoms[1:3], ago=50)
    found = facts(capsys, "status", *tiny)["given_up"]
    assert [len(one["left"]) for one in found] == [2, 2]
    out = said(capsys, "status", *tiny)[1]
    assert "given up: chunk 3 of run (job 17_3), 2 of its units are still to do: missing_data" in out
    assert "log: /nowhere.log  (not there any more)" in out
    stored.finish(randoms[1:5])
    assert facts(capsys, "status", *tiny)["given_up"] == []


def test_troubles(stored, tiny, tmp_path, capsys):
    log = tmp_path / "unit.log"
    log.write_text("words")
    truth = stored.of("truth")
    stored.fail(truth[:6], "bug", log=str(log))
    stored.fail(truth[6:7], "nan", log=str(tmp_path / "gone.log"))
    stored.finish(truth[7:8])
    stored.finish(truth[7:8], ago=5)
    (stored.store / "records" / "torn.parquet").write_bytes(b"PAR1")
    out = said(capsys, "status", *tiny)[1]
    assert "6 failed: bug" in out
    assert "… and 1 more" in out
    assert f"log: {log}\n" in out
    assert "gone.log  (not there any more)" in out
    assert "unreadable shard" in out
    assert "not deterministic" not in out
    assert "1 more (--json lists all)" in out
    told = said(capsys, "aggregate", *tiny)[2]
    assert "1 more (tmbench status --config-dir conf sweep=tiny.yaml cluster=debug --json lists all)" in told
    found = facts(capsys, "status", *tiny)
    assert len(found["failures"]) == 7
    assert [one["log_exists"] for one in found["failures"]] == [True] * 6 + [False]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("Priority", "higher priority"),
        ("Resources", "enough room"),
        ("Dependency", "jobs that make what they need"),
        ("JobArrayTaskLimit", "max_concurrent"),
        ("QOSMaxJobsPerUserLimit", "how many may run"),
        ("AssocMaxJobsLimit", "how many may run"),
        ("MaxJobsPerAccount", "how many may run"),
        ("QOSMaxGRESPerUser", "how much you may use"),
        ("AssocGrpCpuLimit", "how much you may use"),
        ("AssocGrpCPUMinutesLimit", "budget"),
        ("QOSMaxWallDurationPerJobLimit", "time limit"),
        ("BeginTime", "begin time"),
        ("ReqNodeNotAvail, UnavailableNodes:node[1-4]", "drained"),
        ("PartitionTimeLimit", "`tmbench cancel`, then mend cluster.slurm.max_minutes"),
        ("PartitionConfig", "`tmbench cancel`, then mend cluster.slurm.partition or cluster.needs (gpus, cpus, memory"),
        ("BadConstraints", "`tmbench cancel`, then mend"),
        ("JobHeldUser", "scontrol release"),
        ("None", "scheduler"),
        ("SomethingNew", "(SomethingNew; `man squeue` lists the reasons)"),
    ],
)
def test_reasons_in_words(reason, words):
    assert words in in_words(reason)


@pytest.fixture
def between(monkeypatch):
    """Watching where nothing happens but what is given for each wait between two looks."""
    monkeypatch.setattr("tmbench.watching.LINE_SECONDS", 0.0)

    def happens(*events):
        left = list(events)
        monkeypatch.setattr("tmbench.watching.sleep", lambda seconds: left.pop(0)())

    return happens


def test_watching_ends_with_the_work_and_asks_slurm_rarely(stored, site, between, tiny, capsys):
    truth = stored.of("truth")[:3]
    stored.announce(truth)
    site.answers(("17", "RUNNING", "None", "tmbench-a"))
    between(*(lambda unit=unit: stored.finish([unit]) for unit in truth))
    code, out, err = said(capsys, "status", "--watch", *tiny)
    assert code == 1
    assert [line.partition(" ")[2] for line in err.splitlines()] == [
        "pretrain 0/3 · features 0/8 · truth 0/32 · 3 queued",
        "pretrain 0/3 · features 0/8 · truth 1/32 · 2 queued",
        "pretrain 0/3 · features 0/8 · truth 2/32 · 1 queued",
        "pretrain 0/3 · features 0/8 · truth 3/32",
    ]
    assert site.asked == 1
    assert out.splitlines()[-1].startswith("next: tmbench run")


def test_watching_finds_that_jobs_are_over(stored, site, between, tiny, capsys, monkeypatch):
    monkeypatch.setattr("tmbench.watching.QUEUE_SECONDS", 0.0)
    stored.announce(stored.of("truth")[:3])
    site.answers(("17", "RUNNING", "None", "tmbench-a"))
    between(site.is_away, site.answers)
    _, _, err = said(capsys, "status", "--watch", *tiny)
    running, away, over = err.splitlines()
    assert running.endswith("3 queued")
    assert "3 queued · SLURM does not answer since" in away
    assert over.endswith("truth 0/32")


def test_watching_on_a_terminal(stored, site, tiny):
    stored.announce(stored.of("truth")[:1])
    site.answers(("17", "PENDING", "Priority", "tmbench-a"))
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "tmbench.status", "--watch", *tiny]
    watcher = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True)
    os.close(theirs)
    seen = ""
    while "Ctrl-C leaves" not in seen:
        seen += os.read(ours, 10_000).decode()
    assert "1 waiting for jobs of higher priority" in seen
    stored.finish(stored.of("truth")[:1])
    with contextlib.suppress(OSError):  # the terminal's end
        while os.read(ours, 10_000):
            pass
    out = watcher.communicate(timeout=30)[0]
    assert watcher.returncode == 1
    assert out.splitlines()[-1].startswith("next: tmbench run")


def test_who_stops_watching_is_told_that_the_jobs_go_on(stored, site, tiny):
    stored.announce(stored.of("truth")[:3])
    site.answers(("17", "RUNNING", "None", "tmbench-a"))
    command = [sys.executable, "-m", "tmbench.status", "--watch", *tiny]
    watcher = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while "queued" not in watcher.stderr.readline():
        pass
    watcher.send_signal(signal.SIGINT)
    out, err = watcher.communicate(timeout=30)
    assert watcher.returncode == 130
    assert "stopped watching; what is at work goes on\nnext: tmbench status --watch --config-dir conf" in err
    assert "tmbench cancel" in err
    assert out == ""


def test_published_tables_have_nothing_to_watch(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = said(capsys, "status", "sweep=stability", "--json")
    assert code == 0
    assert json.loads(out)["stages"] == {}
