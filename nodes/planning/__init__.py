"""How a model is asked for a plan, and how its answer is read.

Others use `answering`, `budget`, `complexity.THRESHOLD`, `model`, `planner.ModelPlanner`,
`structured` and `unplanned`. `answer` is what it is told that answers in words at a run's end.
"""
