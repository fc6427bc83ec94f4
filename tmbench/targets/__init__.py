"""Targets: data sets with their task. One module a kind of data; ``conf/target`` names their functions."""

from importlib import import_module
from typing import Any

from tmbench.targets.bad_data import BadData
from tmbench.targets.classification import LabelledImages
from tmbench.targets.options import Split, Target

__all__ = ["BadData", "LabelledImages", "load"]


def load(target: Target, split: Split) -> Any:
    """One split of ``target``, checked: what ``load`` of the module ``tmbench.targets.TASK`` gives.

    Raises:
        BadData: when the data are not what the option file declares.
    """
    return import_module(f"tmbench.targets.{target.task}").load(target, split)
