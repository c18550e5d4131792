"""Fine-tuning: recipes and the training that they describe, the layer above evals."""
