"""How a model is asked for a plan, and how its answer is read."""
