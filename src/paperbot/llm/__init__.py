"""The advisor: a model proposes, guards outside the model decide, and any failure means no advice."""
