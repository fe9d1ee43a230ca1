"""What the state of a run shows: record, events, explanation. Pure functions, no input or output.

Others use `events`, `explain.Explanation`, `explain.explain` and `record`.
"""
