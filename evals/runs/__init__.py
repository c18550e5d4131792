"""Runs: one execution of a suite against one release, from the request to the stored rows."""
