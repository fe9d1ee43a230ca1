"""How a model is asked for a plan, and how its answer is read.

Others use `budget`, `complexity.THRESHOLD`, `model`, `planner.ModelPlanner` and `unplanned`.
"""
