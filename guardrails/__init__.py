"""Policies and the checks that they run around a chain."""
