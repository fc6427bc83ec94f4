"""A study whose file of published weights is missing: said by plan, refused by run, and no more once it is done."""

import json
from textwrap import dedent

import pytest

from tmbench.cli import main
from tmbench.study.compose import OptionFolders, compose
from tmbench.study.sweep import load_sweep, parse
from tmbench.study.weights import missing_files

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
    assert json.loads(capsys.readouterr().out)["missing_weights"][0].startswith(sentence)


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
    assert json.loads(capsys.readouterr().out)["missing_weights"] == []
    assert main(["run", *words]) == 0


def test_sources_of_one_file_share_a_sentence(tiny, tmp_path):
    for name, widths in {"one": "8, 8", "two": "8, 16"}.items():
        (tmp_path / f"conf/source/{name}.yaml").write_text(dedent(SOURCE).replace("8, 8", widths))
    sweep = load_sweep(parse([*tiny[:1], "source=[one,two,tiny_random]"]))
    options = compose(sweep, folders=OptionFolders(["conf"]))
    (sentence,) = missing_files(options)
    assert sentence.startswith("one, two: ")
    assert missing_files(options, {"tiny_random"}) == []
