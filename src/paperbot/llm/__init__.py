"""The advisor: a model proposes, guards outside the model decide, and whatever goes wrong means no advice."""
