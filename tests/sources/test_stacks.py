"""Images that are made when they are asked for are those that a tensor of them all holds."""

import numpy as np
import pytest
import torch

from tmbench.sources import stacks
from tmbench.sources.network import as_input, in_batches
from tmbench.sources.options import Input
from tmbench.sources.stacks import Stack, squared

EXPECTED = Input(size=24)


def images(size):
    random = np.random.default_rng(0)
    return random.integers(0, 256, (7, *size, 3), dtype=np.uint8)


@pytest.mark.parametrize("held", [1 << 30, 0])
def test_rows_and_slices_are_those_of_the_whole(held, monkeypatch):
    monkeypatch.setattr(stacks, "HELD", held)
    pixels = images((16, 16))
    seen = []
    stack = Stack(lambda row: seen.append(row) or pixels[row], 7, 16, EXPECTED)
    whole = as_input(pixels, EXPECTED)
    assert len(stack) == 7
    assert torch.equal(stack[torch.tensor([5, 0, 5])], whole[[5, 0, 5]])
    assert torch.equal(stack[2:20], whole[2:])
    assert torch.equal(in_batches(torch.nn.Identity(), stack), whole)
    assert len(seen) == (7 if held else 3 + 5 + 7)


def test_images_of_any_shape_become_squares():
    wide = images((30, 50))
    square = squared(wide[0], 16)
    expected = as_input(wide[:1], Input(size=16, mean=(0, 0, 0), std=(1, 1, 1)))[0].permute(1, 2, 0).numpy() * 255
    assert (square.shape, square.dtype) == ((16, 16, 3), np.uint8)
    assert np.abs(square - expected).max() <= 0.51
    assert squared(square, 16) is square
