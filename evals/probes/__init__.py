"""Probes: what a release's guardrails do when the model, the passages and the question are all hostile."""
