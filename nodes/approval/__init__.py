"""A plan that a person is asked about before it is executed, or that was edited by hand.

Others use `asking`, `edited_plan` and `hand_edits`.
"""
