"""How a model is asked for a plan, and how what it says is read.

Others use `budget`, `charging`, `complexity.THRESHOLD`, `conversation`, `model`, `outcomes`,
`planner.ModelPlanner`, `prompt.repair`, `reading` and `unplanned`.
"""
