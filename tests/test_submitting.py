"""What is said of a submission before it is asked for; --dry-run says it where there is no SLURM."""

import pytest
from status_work import Site, Stored
from verbs_work import said


@pytest.fixture
def study(tiny):
    return [*(word for word in tiny if not word.startswith("cluster=")), "cluster=slurm"]


@pytest.fixture
def stored(study):
    return Stored(study)


def notes(capsys, *words):
    code, _, err = said(capsys, "run", *words, "--dry-run")
    assert code == 0, err
    return [line for line in err.splitlines() if line.startswith("note: ")]


def test_needs_of_the_profile_that_keep_a_retry_from_asking_for_more(stored, study, capsys):
    truth = stored.of("truth")
    stored.finish(stored.of("pretrain"))
    stored.fail(truth[:3], "out_of_memory")
    stored.fail(truth[3:4], "timeout")
    assert notes(capsys, *study, "retry=failed") == []
    (line,) = notes(capsys, *study, "retry=oom", "cluster.needs.memory_gb=2")
    assert line.startswith("note: 3 units ran out of memory and get no more of it: cluster.needs.memory_gb=2 stands")
    (line,) = notes(capsys, *study, "retry=failed", "cluster.needs.minutes=30")
    assert line.startswith("note: 1 units ran out of time and get no more of it: cluster.needs.minutes=30 stands")
    assert notes(capsys, *study, "source=[tiny_random]", "seed=0", "cluster.needs.gpus=1") == []


def test_units_whose_weights_a_job_is_making_are_told_of(stored, study, tmp_path, monkeypatch, capsys):
    site = Site(tmp_path, monkeypatch)
    (made,) = [unit for unit in stored.of("pretrain") if unit.source == "tiny_wide"]
    stored.announce([made])
    site.answers(("17_0", "PENDING", "Resources", "tmbench-a"))
    waiting = sum(unit.after == (made.id,) for unit in stored.units)
    line = f"note: {waiting} units wait for weights that are being made: run again when those are done"
    assert notes(capsys, *study) == [line]
    assert notes(capsys, *study, "source=[tiny_wide]") == [line]
    stored.finish([made])
    assert notes(capsys, *study) == []
