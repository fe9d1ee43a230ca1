"""What the state of a run shows: record, events, explanation. Pure functions, no input or output.

Others use `diff`, `events`, `explain.Explanation`, `explain.explain`, `generations`, `reasons` and
`record`.
"""
