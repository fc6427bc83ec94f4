"""Detectors: backbones with pyramids, torchvision's two-stage heads, their training and evaluation."""
