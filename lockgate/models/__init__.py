"""The door to model weights: the catalogue, fetching, embedders, tokenizers and generation."""
