"""How a model is asked for a plan, and how what it says is read.

Others use `budget`, `complexity.THRESHOLD`, `conversation`, `model`, `outcomes`, `planner`,
`prompt.repair`, `reading` and `unplanned`.
"""
