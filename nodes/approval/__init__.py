"""What a person is asked about: a plan before it is executed, or a step that may have acted.

`asking` makes a run wait, `questions` has what is asked and answered. Beside them is a plan that
was edited by hand.

Others use `asking`, `hand_edits` and `questions`.
"""
