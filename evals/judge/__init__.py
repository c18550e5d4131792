"""The judge: a model that scores answers, what it is asked, and what its replies are worth."""
