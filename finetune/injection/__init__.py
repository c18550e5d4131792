"""Trains the injection classifier: texts, documents with and without attacks, training, thresholds, model card."""
