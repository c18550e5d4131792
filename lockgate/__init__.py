"""The Lockgate kernel: errors, types, ports, settings, models, store and telemetry."""
