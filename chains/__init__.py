"""Chain definitions and the runnables built from them: question in, cited answer out."""
