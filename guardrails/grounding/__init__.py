"""Grounding: is each sentence of an answer held by the passages that it was made from?"""
