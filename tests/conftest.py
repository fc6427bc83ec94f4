"""A study small enough for tests: real pretraining, passes, fine-tunings and metrics, in seconds."""

import os
import signal
from pathlib import Path
from textwrap import dedent

import pytest

# Whoever starts the tests in the background may have them ignore Ctrl-C, which the processes that they start inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

FILES = {
    "conf/source/tiny_strokes.yaml": """
        defaults:
          - base/small_resnet@_here_
          - /target@weights.target: strokes
          - /recipe/classification@weights.recipe: pretrain
          - _self_
        architecture: {parameters: {widths: [8, 8]}}
        weights:
          kind: pretrain
          target: {sizes: {train: 200, validation: 40, test: 80}}
          recipe: {epochs: 1}
        """,
    "conf/source/tiny_shapes.yaml": """
        defaults:
          - base/small_resnet@_here_
          - /target@weights.target: shapes
          - /recipe/classification@weights.recipe: pretrain
          - _self_
        architecture: {parameters: {widths: [8, 8]}}
        weights:
          kind: pretrain
          target: {sizes: {train: 200, validation: 40, test: 80}}
          recipe: {epochs: 1}
        """,
    "conf/source/tiny_wide.yaml": """
        defaults: [tiny_shapes@_here_, _self_]
        architecture: {parameters: {widths: [8, 16]}}
        """,
    "conf/source/tiny_random.yaml": """
        defaults: [base/small_resnet@_here_, _self_]
        architecture: {parameters: {widths: [8, 8]}}
        weights: {kind: random}
        """,
    "conf/target/tiny_digits.yaml": """
        defaults: [digits@_here_, _self_]
        sizes: {train: 60, validation: 30, test: 60}
        """,
    "conf/target/tiny_greek.yaml": """
        defaults: [greek@_here_, _self_]
        sizes: {train: 80, validation: 40, test: 60}
        """,
    "conf/recipe/classification/quick.yaml": """
        defaults: [full@_here_, _self_]
        epochs: 1
        learning_rates: [0.001]
        """,
    "tiny.yaml": """
        name: tiny
        version: 1
        title: a study for tests
        source: [tiny_strokes, tiny_shapes, tiny_wide, tiny_random]
        target: [tiny_digits, tiny_greek]
        level: [penultimate]
        recipe: [head, quick]
        metric: [hscore, leep, gbc, source_size, source_accuracy]
        measure: [weighted_tau, rel_at_1]
        pool: [all, leave_1_out]
        seed: [0, 1]
        """,
}


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A working directory with the tiny sweep; the arguments that resolve it."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["tmbench"])
    return ["sweep=tiny.yaml", "--config-dir", "conf", "cluster=debug"]


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Two torch threads on two busy cores are slower than one."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"


@pytest.fixture
def repository() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parents[1]
