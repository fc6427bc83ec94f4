"""Logs: which unit is meant, and what is told of it."""

from pathlib import Path

import pytest
from status_work import Site, Stored
from verbs_work import facts, said


@pytest.fixture
def stored(tiny):
    return Stored(tiny)


@pytest.fixture
def site(tmp_path, monkeypatch):
    return Site(tmp_path, monkeypatch)


def only(stored, stage, source, target="", seed=0, recipe=""):
    (unit,) = [u for u in stored.of(stage) if (u.source, u.target, u.seed, u.recipe) == (source, target, seed, recipe)]
    return unit


@pytest.mark.parametrize(
    "words",
    [
        ["features", "tiny_wide", "tiny_greek"],
        ["features tiny_wide → tiny_greek"],
        ["features tiny_wide -> tiny_greek"],
        ["feat", "wide", "greek"],
    ],
)
def test_a_unit_by_words_of_its_name(stored, tiny, capsys, words):
    found = facts(capsys, "logs", *words, *tiny)
    assert found["id"] == only(stored, "features", "tiny_wide", "tiny_greek").id
    assert found["status"] == "waiting"
    assert found["attempts"] == []


def test_a_unit_by_its_whole_name_or_the_beginning_of_its_id(stored, tiny, capsys):
    unit = only(stored, "truth", "tiny_wide", "tiny_greek", 1, "quick")
    assert facts(capsys, "logs", unit.id[:10], *tiny)["name"] == unit.name
    assert facts(capsys, "logs", unit.name, *tiny)["id"] == unit.id
    assert facts(capsys, "logs", "truth", "wide", "greek", "seed=1", "recipe=quick", *tiny)["id"] == unit.id


def test_recipe_and_seed_belong_to_the_name_that_they_stand_behind(stored, tiny, capsys):
    unit = only(stored, "truth", "tiny_wide", "tiny_greek", 1, "quick")
    code, out, _ = said(capsys, "logs", *f"truth {unit.name}".split(), *tiny)
    assert code == 0
    assert f"\n  id      {unit.id}\n" in out
    assert "seed=1" not in out.splitlines()[-1], "the study is not narrowed"
    assert facts(capsys, "logs", unit.id[:10], "seed=1", *tiny)["id"] == unit.id
    assert said(capsys, "logs", "truth", "tiny_wide", "tiny_greek", "seed=7", *tiny)[0] == 3
    found = facts(capsys, "logs", "truth", "tiny_wide", "tiny_greek", "recipe=quick", *tiny, "seed=1")
    assert found["id"] == unit.id
    assert found["next"].endswith("seed=1")


def test_what_an_exception_says_does_not_steer_the_terminal(stored, tiny, capsys):
    (unit,) = [unit for unit in stored.of("pretrain") if unit.source == "tiny_wide"]
    stored.fail([unit], "bug", message="\x1b[2Jgone\x07\x9b\r\n\ttwo")
    out = said(capsys, "logs", unit.id[:10], *tiny)[1]
    assert "  \\x1b[2Jgone\\x07\\x9b\n  \ttwo\n" in out
    assert not set(out) & set("\x1b\x07\x9b\r")


def test_out_is_the_folder_of_the_runs_as_well(stored, tiny, tmp_path, capsys):
    (unit,) = [unit for unit in stored.of("pretrain") if unit.source == "tiny_wide"]
    job = tmp_path / "there" / "runs" / "run" / "jobs" / "a"
    job.mkdir(parents=True)
    (job / "17_0_log.out").write_text("of the job\n")
    stored.finish([unit], job="17")
    assert "of the job" in said(capsys, "logs", unit.id[:10], *tiny, "out=there")[1]
    assert "of the job" not in said(capsys, "logs", unit.id[:10], *tiny)[1]


def test_whole_words_count_before_parts_of_words(stored, tiny, capsys):
    (score,) = [s for s in only(stored, "features", "tiny_wide", "tiny_greek").scores if s.metric == "hscore"]
    assert facts(capsys, "logs", score.name, *tiny)["id"] == score.id
    found = facts(capsys, "logs", score.id[:12], *tiny)
    assert (found["stage"], found["unit"]) == ("score", only(stored, "features", "tiny_wide", "tiny_greek").id)


def test_several_are_listed(stored, tiny, capsys):
    stored.finish(stored.of("pretrain"))
    code, out, err = said(capsys, "logs", "tiny_wide", "tiny_greek", *tiny)
    assert (code, out) == (2, "")
    assert "'tiny_wide tiny_greek' means 5 units:" in err
    unit = only(stored, "features", "tiny_wide", "tiny_greek")
    assert f"  {unit.id[:12]}  features  to do    {unit.name}\n" in err
    assert "more words of its name" in err


def test_none_names_the_nearest(stored, tiny, capsys):
    code, _, err = said(capsys, "logs", "tiny_wilde", *tiny)
    assert code == 3
    assert "no unit of tiny has 'tiny_wilde' in its name or id. Nearest: tiny_wide" in err
    assert said(capsys, "logs", *tiny)[0] == 2
    assert "which unit?" in said(capsys, "logs", *tiny)[2]


def test_attempts_log_and_what_the_job_wrote(stored, tiny, tmp_path, capsys):
    unit = only(stored, "truth", "tiny_wide", "tiny_greek", 1, "quick")
    log = stored.store / "logs" / unit.id[:2] / f"{unit.id}-truth.log"
    log.parent.mkdir(parents=True)
    log.write_text("Traceback\nValueError: no such luck\n")
    stored.finish(stored.of("pretrain"))
    stored.fail([unit], "killed", ago=500, job="16_3", log=str(log))
    stored.fail([unit], "out_of_memory", ago=100, job="17_3", gpu="NVIDIA H100", gpu_memory_mb=70000.0, log=str(log))
    jobs = stored.study.out / "runs" / "run" / "jobs" / "tmbench-run-000"
    jobs.mkdir(parents=True)
    (jobs / "16_3_0_log.out").write_text("an earlier job\n")
    (jobs / "17_3_0_log.out").write_text("".join(f"line {n}\n" for n in range(100)))
    (jobs / "17_3_0_log.err").write_text("slurmstepd: error\n")
    code, out, _ = said(capsys, "logs", unit.id[:10], *tiny)
    assert code == 1
    assert f"truth  {unit.name}  failed\n  id      {unit.id}" in out
    assert "attempt 1: failed (killed)" in out
    assert "attempt 2: failed (out_of_memory)" in out
    assert "10 s, 900 MB, 70,000 MB on the GPU, host node1, NVIDIA H100, job 17_3, run run" in out
    assert f"log: {log}\n  Traceback\n  ValueError: no such luck\n" in out
    assert "line 99\n" in out
    assert "line 10\n" not in out
    assert "slurmstepd: error" in out
    assert "an earlier job" not in out
    assert out.splitlines()[-1].endswith("retry=out_of_memory")
    found = facts(capsys, "logs", unit.id[:10], *tiny)
    assert [attempt["job"] for attempt in found["attempts"]] == ["16_3", "17_3"]
    assert found["log"]["text"] == log.read_text().strip()
    stored.finish([unit], ago=5)
    code, out, _ = said(capsys, "logs", unit.id[:10], *tiny)
    assert code == 0
    assert "attempt 3: done" in out
    assert "  accuracy 0.5\n" in out


def test_what_a_worker_wrote_that_died_without_a_word(stored, tiny, tmp_path, capsys):
    (unit,) = [unit for unit in stored.of("pretrain") if unit.source == "tiny_wide"]
    log = tmp_path / "17_0_log.out"
    log.write_text("Killed\n")
    stored.fail([unit], "killed", log=str(log))
    assert f"end of {log}\n  Killed\n" in said(capsys, "logs", "pretrain", "tiny_wide", *tiny)[1]


def test_the_job_that_holds_it(stored, site, tiny, capsys):
    truth = stored.of("truth")
    claim = stored.announce(truth[:2], truth[2:4])
    site.answers(("17_0", "RUNNING", "None", "tmbench-a"), ("17_1", "PENDING", "Resources", "tmbench-a"))
    stored.mark(claim.folder, 0, truth[1], "17_0")
    written = Path(claim.folder) / "jobs" / "tmbench-a" / "17_0_0_log.out"
    written.parent.mkdir(parents=True)
    written.write_text("epoch 3\n")
    out = said(capsys, "logs", truth[1].id, *tiny)[1]
    assert "  running\n" in out
    assert "held by SLURM job 17_0, RUNNING on node1 for 1 min" in out
    assert "epoch 3" in out
    out = said(capsys, "logs", truth[2].id, *tiny)[1]
    assert "held by SLURM job 17_1, which waits for a node with enough room" in out
    assert "no attempt is recorded" in out
    assert facts(capsys, "logs", truth[2].id, *tiny)["held_by"]["job"] == "17_1"


def test_a_run_of_another_study_is_found_by_its_claim(stored, tiny, tmp_path, capsys):
    unit = stored.of("truth")[0]
    run = tmp_path / "elsewhere" / "run"
    (run / "jobs" / "a").mkdir(parents=True)
    (run / "jobs" / "a" / "17_0_log.out").write_text("from elsewhere\n")
    stored.hold([unit], run).release()
    stored.finish([unit], job="17")
    assert "from elsewhere" in said(capsys, "logs", unit.id, *tiny)[1]
