"""How a model is asked for a plan, and how what it says is read.

`prompt` says what a model is told, `answer` in which form it answers and how it is read. One call
is a `model_attempt`, and what follows from it is in `outcomes`; the node `plan` makes it.

Others use `answer`, `conversation`, `model`, `model_attempt`, `outcomes` and `prompt`.
"""
