"""The statistics over setups: measures, win rate, stability, intervals. Stands on numpy and scipy alone."""
