"""Fine-tuning: the layer above evals; its recipes and training arrive with their issue."""
