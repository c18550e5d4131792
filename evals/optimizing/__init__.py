"""Variants of a prompt, raced on the dev half of a suite and reported on the other."""
