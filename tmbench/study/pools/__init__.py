"""Pools: which subsets of the candidates a metric is asked to rank; counted and read without a list of them."""
