"""The verb `doctor` where there is no SLURM."""

import json

import pytest

from tmbench.doctor import main


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_machine_is_checked_line_by_line(capsys, tmp_path):
    pytest.importorskip("timm")
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("✓ ") for line in lines[:-1])
    assert lines[-1].startswith("next: tmbench plan sweep=demo")
    assert str(tmp_path / "results" / "store") in "".join(lines)
    assert list(tmp_path.iterdir()) == []


def test_json(capsys):
    main(["--json", "cluster=debug"])
    found = json.loads(capsys.readouterr().out)
    assert {"check", "good", "text", "advice"} == set(found[0])


def test_no_slurm_here(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["cluster=slurm", "--yes"]) == 1
    out = capsys.readouterr().out
    assert "✗ SLURM         no sbatch, squeue, scontrol, scancel, srun on the PATH. Run on a login node" in out
    assert "– test job      none before the rest is mended" in out
    assert out.splitlines()[-1] == "next: mend what is marked ✗, then tmbench doctor cluster=slurm"


def test_a_folder_that_is_a_file(capsys, tmp_path):
    (tmp_path / "taken").write_text("x")
    assert main(["paths.store=taken"]) == 1
    assert "✗ store" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["cluster=slrum"], "no cluster is named 'slrum'. Nearest: 'slurm'"),
        (["swep=demo"], "no key is named 'swep'"),
        (["cluster=slurm", "cluster.slurm.partition=a,b"], "\"cluster.slurm.partition='a,b'\""),
        (["cluster.slurm.partiton=x"], "Nearest: 'partition'"),
        (["cluster"], "Write key=value"),
    ],
)
def test_bad_usage(capsys, words, says):
    assert main(words) == 2
    assert says in capsys.readouterr().err


def test_the_overrides_of_other_verbs_are_passed_over(capsys):
    words = ["sweep=demo", "cluster=debug", "metric=[logme]", "out=there", "bootstrap=0"]
    main([*words, "--json"])
    assert json.loads(capsys.readouterr().out)
    main(words)
    last = capsys.readouterr().out.splitlines()[-1]
    assert " ".join(words) in last
    assert last.count("sweep=") == 1
