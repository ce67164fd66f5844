"""Runs: a data set played into a journal that outlives every crash, whatever is played."""
