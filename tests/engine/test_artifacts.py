import errno
from pathlib import Path

import numpy as np
import pytest

from tmbench.engine.artifacts import CorruptArtifact, artifact_path, read_artifact, write_artifact
from tmbench.files import StoreError


@pytest.fixture
def path(tmp_path):
    path = artifact_path(tmp_path, "features", "ab" + "0" * 30)
    features = np.arange(12, dtype=np.float32).reshape(3, 4)
    arrays = {"features": features, "labels": np.array([0, 1, 1]), "count": np.array(7)}
    write_artifact(path, arrays, {"parameters": 17})
    return path


def test_what_is_written_is_read(path):
    artifact = read_artifact(path)
    assert artifact.arrays["features"].dtype == np.float32
    assert artifact.arrays["features"].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert artifact.arrays["labels"].tolist() == [0, 1, 1]
    assert artifact.arrays["count"].shape == ()  # safetensors keeps it; contiguous copies easily make it (1,)
    assert artifact.facts == {"parameters": 17}
    assert path.parent.name == "ab"


def test_the_same_arrays_give_the_same_file(path, tmp_path):
    other = tmp_path / "other.safetensors"
    artifact = read_artifact(path)
    write_artifact(other, dict(reversed(list(artifact.arrays.items()))), artifact.facts)
    assert other.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_file_is_set_aside(path, damage):
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[:-5]
    elif damage == "flip":
        content[-9] ^= 1
    else:
        content = bytearray()
    path.write_bytes(content)
    with pytest.raises(CorruptArtifact, match="is damaged"):
        read_artifact(path)
    assert not path.exists()
    assert path.with_suffix(".corrupt").exists()


def test_a_missing_file_is_no_damage(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_artifact(tmp_path / "none.safetensors")


def test_a_folder_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "artifacts").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="cannot write"):
        write_artifact(tmp_path / "artifacts" / "x.safetensors", {"a": np.zeros(2)})


def test_a_file_that_cannot_be_read_for_a_moment_stays(path, monkeypatch):
    content = path.read_bytes()

    def failing(number):
        def open(self, *arguments):
            raise OSError(number, "passing")

        return open

    for number, said in [(errno.EIO, StoreError), (errno.EACCES, StoreError), (errno.ESTALE, FileNotFoundError)]:
        with monkeypatch.context() as patched:
            patched.setattr(Path, "open", failing(number))
            patched.setattr("safetensors.safe_open", failing(number))
            with pytest.raises(said):
                read_artifact(path)
    assert path.read_bytes() == content


def test_damage_that_another_worker_sets_aside_first_is_damage(path, monkeypatch):
    path.write_bytes(path.read_bytes()[:-5])
    real = Path.replace

    def late(self, target):
        real(self, target)
        return real(self, target)

    monkeypatch.setattr(Path, "replace", late)
    with pytest.raises(CorruptArtifact, match="is damaged"):
        read_artifact(path)
