"""The grounding detector's training: data from published sets, rule-made corruptions, an encoder, its calibration."""
