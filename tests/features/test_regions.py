"""The mean over a box is that of torchvision's ROI-Align, whatever the box and the form of the map."""

import pytest
import torch
from torchvision.ops import roi_align

from tmbench.features.regions import Regions

SIZE = 64
EDGES = [
    [0, 0, SIZE, SIZE], [0, 0, 1, 1], [63, 63, 64, 64], [10, 10, 10.2, 10.1], [0, 20, 64, 21], [30, 0, 30.5, 64],
    [60, -30, 90, 12], [-9, -9, -3, -3], [70, 70, 80, 80],
]  # fmt: skip
"""Whole images, single pixels, slivers, boxes that reach out of the image and some that lie outside."""


def some_boxes(*counts):
    draw = torch.Generator().manual_seed(0)
    corners = [torch.rand(k, 2, generator=draw) * 40 for k in counts]
    return [torch.cat([each, each + 1 + torch.rand(len(each), 2, generator=draw) * 24], dim=1) for each in corners]


@pytest.mark.parametrize("side", [1, 2, 7, 16, 64])
@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
def test_the_mean_of_torchvisions_bins(side, form):
    maps = torch.randn(4, 5, side, side, generator=torch.Generator().manual_seed(1)).to(memory_format=form)
    boxes = [torch.tensor(EDGES), *some_boxes(3, 0, 6)]
    expected = roi_align(maps, boxes, 7, side / SIZE, sampling_ratio=2, aligned=False).mean(dim=(2, 3))
    assert torch.allclose(Regions(boxes, SIZE).mean(maps), expected, atol=1e-5)


def test_maps_of_several_sizes_and_images_without_objects():
    boxes = some_boxes(2, 1)
    regions = Regions(boxes, SIZE)
    for side in (8, 4, 8):
        maps = torch.randn(2, 3, side, side)
        expected = roi_align(maps, boxes, 7, side / SIZE, sampling_ratio=2, aligned=False).mean(dim=(2, 3))
        assert torch.allclose(regions.mean(maps), expected, atol=1e-5)
    assert Regions(some_boxes(0, 0), SIZE).mean(torch.randn(2, 3, 8, 8)).shape == (0, 3)
