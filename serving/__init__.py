"""The HTTP API, the console and the command line; wires every other folder together."""
