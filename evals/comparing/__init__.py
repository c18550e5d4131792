"""Comparing: two releases on the same cases, what a suite can tell apart, and which part made a case change."""
