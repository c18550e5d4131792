"""Intervals, tests, decisions and power: what scores of a sample of cases say about all cases of their kind."""
