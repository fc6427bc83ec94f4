"""tmbench: do transferability metrics tell which pretrained model transfers best, and how sure can we be?"""

__version__ = "0.1.0"
