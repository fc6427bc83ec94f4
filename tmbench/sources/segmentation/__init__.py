"""Segmentation networks: a source's trunk with a decoder on its maps, how it is trained and how it is judged."""
