"""What is compared: sweeps, options, setups, pools, cells, plans. Knows no torch."""
