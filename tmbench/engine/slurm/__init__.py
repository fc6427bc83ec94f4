"""SLURM: asking the site, submitting arrays of chunks, settling what ended without a word."""
