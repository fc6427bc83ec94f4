"""A study whose files or data are missing: said by plan, refused by run, and no more once it is done."""

import json
from textwrap import dedent

import pytest

from tmbench.cli import main
from tmbench.study.compose import OptionFolders, compose
from tmbench.study.missing import Inputs, missing
from tmbench.study.sweep import load_sweep, parse

SOURCE = """
    defaults: [base/small_resnet@_here_, _self_]
    architecture: {parameters: {widths: [8, 8]}}
    weights: {kind: file, file: small.safetensors, layout: timm, url: "https://example.org/small.safetensors"}
    """


@pytest.fixture
def words(tiny, tmp_path):
    """The tiny sweep on a random source and on one of a file that is not there."""
    (tmp_path / "conf/source/tiny_file.yaml").write_text(dedent(SOURCE))
    return [
        *tiny,
        "source=[tiny_file,tiny_random]",
        "metric=[hscore]",
        "recipe=[head]",
        "target=[tiny_digits]",
        "seed=0",
    ]


def test_plan_says_where_to_get_the_file_and_where_to_put_it(words, tmp_path, capsys):
    assert main(["plan", *words]) == 0
    place = tmp_path / "results/weights/small.safetensors"
    sentence = f"tiny_file: the weights {place} are missing: download https://example.org/small.safetensors to exactly"
    assert sentence in capsys.readouterr().out
    assert main(["plan", *words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["missing"][0].startswith(sentence)


def test_run_does_not_start_without_the_file(words, tmp_path, capsys):
    assert main(["run", *words]) == 1
    said = capsys.readouterr().err
    assert "small.safetensors are missing" in said
    assert "Nothing was started." in said
    assert not (tmp_path / "results/store/records").exists()


def test_run_reads_the_file_and_needs_it_no_more_afterwards(words, tmp_path, capsys):
    from safetensors.torch import save_file

    from tmbench.sources.small import residual_network

    place = tmp_path / "files/small.safetensors"
    place.parent.mkdir()
    network = residual_network(0, 32, widths=[8, 8])
    save_file({name: value.clone() for name, value in network.state_dict().items()}, place)
    words.append(f"paths.weights={place.parent}")
    assert main(["run", *words]) == 0
    place.unlink()
    capsys.readouterr()
    assert main(["plan", *words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["missing"] == []
    assert main(["run", *words]) == 0


def test_sources_of_one_file_share_a_sentence(tiny, tmp_path):
    for name, widths in {"one": "8, 8", "two": "8, 16"}.items():
        (tmp_path / f"conf/source/{name}.yaml").write_text(dedent(SOURCE).replace("8, 8", widths))
    sweep = load_sweep(parse([*tiny[:1], "source=[one,two,tiny_random]"]))
    options = compose(sweep, folders=OptionFolders(["conf"]))
    (sentence,) = missing(options)
    assert sentence.startswith("one, two: ")
    assert missing(options, Inputs(weights={"tiny_random"})) == []


# Data.

IN_A_FOLDER = """
    from tmbench.targets.digits import digits

    def ponds(split, size, seeds, folder="", noise=0.0):
        return digits(split, size, seeds, noise=noise)
    """

PONDS = """
    defaults: [tiny_digits@_here_, _self_]
    function: ponds.py:ponds
    folder: ponds
    """

OF_PONDS = """
    defaults:
      - tiny_strokes@_here_
      - _self_
    weights: {target: {folder: strokes_of_mine}}
    """


@pytest.fixture
def ponds(words, tmp_path):
    """The tiny sweep on a random source and on a target whose folder is not there."""
    (tmp_path / "conf/target/ponds.py").write_text(dedent(IN_A_FOLDER))
    (tmp_path / "conf/target/ponds.yaml").write_text(dedent(PONDS))
    return [*words[:4], "source=tiny_random", *words[5:7], "target=[ponds]", "seed=0", f"paths.data={tmp_path}/data"]


def test_a_missing_folder_is_said_by_plan_and_refused_by_run(ponds, tmp_path, capsys):
    sentence = f"ponds: the folder {tmp_path}/data/ponds is missing: put the set there, or set paths.data."
    assert main(["plan", *ponds]) == 0
    assert f"warning: {sentence}" in capsys.readouterr().out
    assert main(["run", *ponds]) == 1
    assert f"{sentence}\nNothing was started." in capsys.readouterr().err
    assert not (tmp_path / "results/store/records").exists()


def test_data_are_needed_no_more_by_scores_of_a_stored_pass(ponds, tmp_path, capsys):
    here = tmp_path / "data/ponds"
    here.mkdir(parents=True)
    assert main(["run", *ponds]) == 0
    here.rmdir()
    capsys.readouterr()
    more = [word.replace("[hscore]", "[hscore,gbc]") for word in ponds]
    assert main(["plan", *more, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["stages"]["score"]["total"] - facts["stages"]["score"]["done"] == 1
    assert facts["missing"] == []
    assert main(["run", *more]) == 0
    again = [word.replace("seed=0", "seed=[0,1]") for word in more]
    assert main(["run", *again]) == 1  # a truth of another seed reads them


def test_the_data_of_a_sources_pretraining_are_asked_for(tiny, tmp_path):
    (tmp_path / "conf/source/of_ponds.yaml").write_text(dedent(OF_PONDS))
    sweep = load_sweep(parse([tiny[0], "source=[of_ponds,tiny_random]"]))
    options = compose(sweep, [f"paths.data={tmp_path}/data"], OptionFolders(["conf"]))
    (sentence,) = missing(options)
    assert sentence.startswith(f"of_ponds: the folder {tmp_path}/data/strokes_of_mine is missing")


def test_an_absolute_folder_is_not_looked_for_in_paths_data(ponds, tmp_path, capsys):
    path = tmp_path / "conf/target/ponds.yaml"
    path.write_text(path.read_text().replace("folder: ponds", "folder: /nowhere/ponds"))
    assert main(["plan", *ponds]) == 0
    assert "or correct 'folder' in the option file" in capsys.readouterr().out


def test_what_only_later_stages_of_a_tuning_read_is_asked_for_at_once(words, tmp_path, capsys):
    """The source from a file inherits: until the other one has chosen, it has no unit."""
    stage = {"name": "rates", "recipe": "quick", "learning_rate": [0.001, 0.002], "inherit": {"of_file": "of_random"}}
    study = {"name": "tuned", "version": 1, "source": ["tiny_random", "tiny_file"], "target": ["tiny_digits"]}
    study |= {"recipe": ["quick"], "seed": [0], "tuning": [stage]}
    (tmp_path / "tuned.yaml").write_text(json.dumps(study))
    for name in ("random", "file"):
        path = tmp_path / f"conf/source/tiny_{name}.yaml"
        path.write_text(path.read_text() + f"family: of_{name}\ninitialisation: random\n")
    tuned = ["sweep=tuned.yaml", *words[1:4]]
    assert main(["plan", *tuned]) == 0
    assert "warning: tiny_file: the weights" in capsys.readouterr().out
    assert main(["run", *tuned]) == 1
    assert "Nothing was started." in capsys.readouterr().err


@pytest.mark.parametrize("name", ["tiny_random+tiny_file", "tiny_started@stages.0", "tiny_random+tiny_started"])
def test_files_of_sources_that_are_cut_or_joined_are_missed_too(words, name, tmp_path, capsys):
    started = """
        defaults: [tiny_shapes@_here_, _self_]
        weights: {start: {kind: file, file: small.safetensors, layout: timm}}
        """
    (tmp_path / "conf/source/tiny_started.yaml").write_text(dedent(started))
    words = [word for word in words if not word.startswith("source=")]
    assert main(["run", *words, f"source=['{name}',tiny_random]"]) == 1
    said = capsys.readouterr().err
    assert "small.safetensors are missing" in said
    assert "Nothing was started." in said
