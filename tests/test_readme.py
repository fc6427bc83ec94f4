"""The README's examples, run as they stand: each code block that begins with a file's name becomes that file."""

import json
import re
from pathlib import Path

import pytest
from detection_files import annotation, picture, write

from tmbench.cli import VERBS
from tmbench.cli import main as tmbench
from tmbench.targets.detection import load
from tmbench.targets.options import DetectionTarget

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()


@pytest.fixture
def mine(tiny):
    """The tiny study's directory with the README's files in it."""
    for name, text in re.findall(r"```(?:python|yaml)\n# (mine/\S+)\n(.*?)```", README, flags=re.DOTALL):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    return [*tiny, "--config-dir", "mine"]


def test_the_metric_and_the_target_of_the_readme_run(mine, capsys):
    assert tmbench(["show", "metric=separability", "--config-dir", "mine"]) == 0
    assert "lies between the classes" in capsys.readouterr().out
    assert tmbench(["check", "metric=separability", "--config-dir", "mine"]) == 0, capsys.readouterr().out
    words = [*mine, "metric=[hscore,separability]", "source=[tiny_random,tiny_shapes]", "target=[tiny_digits,stripes]"]
    assert tmbench(["run", *words]) == 0, capsys.readouterr().err
    assert tmbench(["aggregate", *words]) == 0, capsys.readouterr().err
    table = Path("results/tiny/tables/win_rate.csv").read_text()
    assert ",separability,metric," in table
    assert "stripes" in Path("results/tiny/tables/cells.csv").read_text()


def test_the_table_of_the_readme_is_aggregated(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name, text = re.search(r"`(\w+\.csv)`\n```csv\n(.*?)```", README, flags=re.DOTALL).groups()
    Path(name).write_text(text)
    command = re.search(rf"tmbench (aggregate cells={name} .*)", README)[1]
    assert tmbench(command.split()) == 0, capsys.readouterr().err
    table = Path("results/zoo/tables/win_rate.csv").read_text()
    assert ",logme,metric," in table
    assert "too few" in capsys.readouterr().out + Path("results/zoo/report.html").read_text()


def test_the_source_of_the_readme_is_planned(mine, capsys):
    assert tmbench(["plan", *mine, "source=[tiny_strokes,wide_resnet_strokes]", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stages"]["pretrain"]["total"] == 2


def test_the_detection_set_of_the_readme_is_planned_and_loaded(mine, capsys):
    words = ["sweep=demo_detection", "target=[scenes_shapes,ponds]", "--config-dir", "mine", "--json"]
    assert tmbench(["plan", *words]) == 0, capsys.readouterr().err
    assert json.loads(capsys.readouterr().out)["cells"] == 12
    assert tmbench(["show", "target=ponds", "--config-dir", "mine", "--json"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)
    categories = [{"id": number, "name": name} for number, name in enumerate(("coot", "duck", "swan"))]
    for name, numbers in (("train", range(200)), ("test", range(200, 212))):
        images = [picture(number, folder=Path("data/ponds/images")) for number in numbers]
        birds = [annotation(number, number, number % 3) for number in numbers]
        birds[0]["bbox"] = [5, 6, 0, 8]
        write(Path(f"data/ponds/{name}.json"), images, birds, categories)
    target = DetectionTarget.model_validate(facts["options"]).located("data")
    train, test = load(target, "train"), load(target, "test")
    assert (len(train), train.classes) == (100, ("duck", "swan"))
    assert len(test) == 8
    assert "without area" in test.problems[0]
    assert 20 <= len(load(target, "validation")) <= 34


def test_nothing_was_left_to_fill_in():
    assert "@@" not in README


def test_every_verb_and_file_that_the_readme_names_exists(repository):
    for verb in re.findall(r"tmbench (\w+) (?:sweep|metric)=", README):
        assert verb in VERBS
    for path in re.findall(r"\]\(([\w/.]+)\)", README):
        assert (repository / path).exists(), path
    targets = set(re.findall(r"^([\w-]+):", (repository / "Makefile").read_text(), flags=re.MULTILINE))
    named = {
        name
        for pair in re.findall(r"`make ([\w-]+)`|^make ([\w-]+)", README, flags=re.MULTILINE)
        for name in pair
        if name
    }
    assert named <= targets
    assert named
