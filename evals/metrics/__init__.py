"""Metrics: small functions over one outcome, each with a declared scale, direction and source."""
