"""How a model is asked for a plan, or for an answer in words, and how what it says is read.

Others use `answering`, `budget`, `complexity.THRESHOLD`, `model`, `planner.ModelPlanner`,
`structured` and `unplanned`.
"""
