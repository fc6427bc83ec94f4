"""Files that do not fit, and files that are not what they should be."""

import argparse
import hashlib
import json

import published_work as work
import pytest
import torch
from safetensors.torch import save_file

from tmbench.sources import BadWeights
from tmbench.sources.published import read

torch.set_num_threads(1)


@pytest.fixture
def saved(tmp_path):
    """Saves a state dict and reads it into a network of the same kind."""

    def save(state, network=None, layout="timm", name="weights.pth", **more):
        path = tmp_path / name
        torch.save(state, path)
        return read(work.option(path, layout, **more), network or work.transformer())

    return save


def state():
    return work.drawn(work.transformer()).state_dict()


def test_a_head_of_the_promised_classes_is_loaded(saved):
    loaded = saved(state(), head_classes=3)
    assert loaded.report["head"] == "loaded"
    assert loaded.report["fresh"] == []
    assert loaded.report["left_out"] == {}


@pytest.mark.parametrize("promised", [0, 4])
def test_another_head_is_left_out_and_said(saved, promised):
    network = work.drawn(work.transformer(), seed=1)
    loaded = saved(state(), network, head_classes=promised)
    assert loaded.report["head"] == "fresh"
    assert loaded.report["fresh"] == ["head.weight", "head.bias"]
    assert loaded.report["left_out"] == {"head of 3 outputs": ["head.weight", "head.bias"]}
    assert loaded.summary["left_out"] == {"head of 3 outputs": 2}
    assert torch.equal(torch.from_numpy(loaded.weights["head.weight"]), network.head.weight)
    json.dumps(loaded.report)


def test_a_head_is_left_out_of_a_network_without_one_or_with_another(saved):
    loaded = saved(state(), work.transformer(0), head_classes=3)
    assert loaded.report["head"] == "none"
    loaded = saved(state(), work.transformer(7), head_classes=3)
    assert loaded.report["head"] == "fresh"
    assert loaded.weights["head.bias"].shape == (7,)


def test_a_file_without_a_head_leaves_it_fresh(saved):
    headless = {name: value for name, value in state().items() if not name.startswith("head")}
    assert saved(headless, head_classes=3).report["fresh"] == ["head.weight", "head.bias"]


def test_a_missing_block_is_refused_with_its_first_names(saved):
    short = {name: value for name, value in state().items() if not name.startswith("blocks.1.")}
    with pytest.raises(BadWeights, match=r"'blocks\.1\.norm1\.weight' is missing.*'blocks\.1\.attn.*and 9 more"):
        saved(short)


def test_a_deeper_file_is_refused(saved):
    with pytest.raises(BadWeights, match=r"'blocks\.1\.norm1\.weight' has no place.*weights\.layout \(timm\)"):
        saved(state(), work.transformer(depth=1))


def test_another_shape_is_refused(saved):
    with pytest.raises(BadWeights, match=r"'patch_embed\.proj\.weight' is .*Correct the source's architecture"):
        saved(state(), work.transformer(patch_size=4))


def test_positions_of_another_image_size_name_it(saved):
    words = r"'pos_embed' is \(1, 17, 16\), not \(1, 65, 16\)\. .* set the source's input\.size to 32\.$"
    with pytest.raises(BadWeights, match=words):
        saved(state(), work.transformer(img_size=64))
    uneven = state() | {"pos_embed": torch.zeros(1, 13, 16)}
    with pytest.raises(BadWeights, match=r"not \(1, 17, 16\)\. Correct the source's architecture"):
        saved(uneven)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(saved, value):
    broken = state()
    broken["blocks.1.norm1.weight"][3] = value
    with pytest.raises(BadWeights, match=r"not finite, in 'blocks\.1\.norm1\.weight'; download it again"):
        saved(broken)
    headless = state()
    headless["head.bias"][0] = value
    assert saved(headless, head_classes=0).report["head"] == "fresh"  # what is left out has no say


def test_another_layout_is_refused(saved):
    with pytest.raises(BadWeights, match="is missing"):
        saved(work.moco_v3(work.transformer()), layout="mae")


class Harmful:
    """What a pickle can do when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_never_read(zipped, tmp_path):
    trace = tmp_path / "unpickled"
    content = {"model": state(), "args": Harmful(trace)}
    torch.save(content, tmp_path / "weights.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(BadWeights, match=r"would run code.*convert it once.*safetensors"):
        read(work.option(tmp_path / "weights.pth", "timm"), work.transformer())
    assert not trace.exists()
    torch.load(tmp_path / "weights.pth", weights_only=False)["args"].close()
    assert trace.exists()  # so it would have been


@pytest.mark.parametrize("whole", [False, True])
def test_the_conversion_that_is_offered_works(whole, tmp_path):
    import subprocess
    import sys

    network = work.drawn(work.transformer())
    path, elsewhere = tmp_path / "weights_v1.5.pth.tar", tmp_path / "elsewhere"
    elsewhere.mkdir()
    torch.save(network if whole else {"model": network, "args": argparse.Namespace(lr=1)}, path)
    with pytest.raises(BadWeights, match=r"would run code.*with its own weights\.sha256 or none\.$") as caught:
        read(work.option(path, "timm", sha256=hashlib.sha256(path.read_bytes()).hexdigest()), work.transformer())
    words = str(caught.value).split('python -c "')[1].split('"`')[0]
    subprocess.run([sys.executable, "-c", words], check=True, cwd=elsewhere, timeout=60)
    place = tmp_path / "weights_v1.5.safetensors"  # beside the file, wherever the command is run
    loaded = read(work.option(place, "timm", head_classes=3), work.transformer())
    assert loaded.report["head"] == "loaded"


def test_the_files_hash_is_held_to_the_options(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(state(), path)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    loaded = read(work.option(path, "timm", sha256=found), work.transformer())
    assert (loaded.report["sha256"], loaded.report["file"]) == (found, "weights.safetensors")
    with pytest.raises(BadWeights, match=rf"is {found}, not {'0' * 64}"):
        read(work.option(path, "timm", sha256="0" * 64, url="https://a.b/c"), work.transformer())


def test_a_missing_file_says_where_to_get_it_and_where_to_put_it(tmp_path):
    path = tmp_path / "weights.pth"
    with pytest.raises(BadWeights, match=rf"{path} are missing: download https://a\.b/c to exactly that path"):
        read(work.option(path, "timm", url="https://a.b/c"), work.transformer())
    with pytest.raises(BadWeights, match="your own file"):
        read(work.option(path, "timm"), work.transformer())


def damaged(kind, path):
    """A file of that kind that is no longer whole."""
    if kind == "safetensors":
        save_file(state(), path)
    else:
        torch.save(state(), path, _use_new_zipfile_serialization=kind == "zip")
    return path.read_bytes()


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.999])
@pytest.mark.parametrize("kind", ["zip", "older", "safetensors"])
def test_a_cut_file_is_refused(kind, share, tmp_path):
    path = tmp_path / ("weights.safetensors" if kind == "safetensors" else "weights.pth")
    whole = damaged(kind, path)
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(BadWeights, match=r"is damaged, cut off, or no file of weights.*download it again"):
        read(work.option(path, "timm"), work.transformer())


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_page_in_place_of_a_file_is_refused(name, tmp_path):
    (tmp_path / name).write_text("<html>404: not found</html>")
    with pytest.raises(BadWeights, match="no file of weights"):
        read(work.option(tmp_path / name, "timm"), work.transformer())


def test_a_file_of_something_else_is_refused(saved):
    with pytest.raises(BadWeights, match="holds no named tensors"):
        saved([1, 2, 3])
    with pytest.raises(BadWeights, match="holds no named tensors"):
        saved({"epoch": 3})
