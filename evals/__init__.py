"""Suites, metrics and eval runs."""
