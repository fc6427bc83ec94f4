"""Targets: data sets with their task. One module a kind of data; ``conf/target`` names their functions."""

from tmbench.targets.classification import BadData, LabelledImages, load

__all__ = ["BadData", "LabelledImages", "load"]
