import pytest
import torch

from tmbench.sources.options import Source
from tmbench.study.compose import OptionFolders, describe_options


@pytest.fixture(scope="session")
def tiny_source():
    """A residual network whose pretraining is ten steps, with augmentation."""
    torch.set_num_threads(1)
    content = describe_options("source", ["small_resnet_strokes"], OptionFolders())["small_resnet_strokes"]
    weights = content["weights"]
    sizes = {"train": 80, "validation": 20, "test": 40}
    target = {**weights["target"], "sizes": sizes, "parameters": {"classes": 4}, "classes": 4}
    recipe = {**weights["recipe"], "epochs": 2, "batch_size": 16, "augment": "shift"}
    architecture = {**content["architecture"], "parameters": {"widths": [8, 8]}}
    return Source.model_validate(
        {**content, "architecture": architecture, "weights": {**weights, "target": target, "recipe": recipe}}
    )
