"""What a person is asked about: a plan before it is executed, or a step that may have acted.

Beside it is a plan that was edited by hand.

Others use `asking`, `edited_plan`, `hand_edits` and `in_doubt`.
"""
