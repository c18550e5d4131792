"""Settings of a chain, tried on the dev half of a suite and reported on the other."""
