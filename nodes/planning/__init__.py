"""How a model is asked for a plan, and how what it says is read.

`prompt` says what a model is told, `answer` in which form it answers and how it is read.

Others use `answer`, `budget`, `conversation`, `model`, `outcomes`, `planner`, `prompt.repair` and
`unplanned`.
"""
