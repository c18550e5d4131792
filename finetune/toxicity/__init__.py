"""The toxicity model: sentence embeddings, hashed words and counts of telling words, joined by a small network."""
