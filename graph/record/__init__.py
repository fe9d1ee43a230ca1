"""What the state of a run shows: record, events, explanation. Pure functions, no input or output.

Others use `beginning`, `diff`, `events`, `generations`, `explain.Explanation`, `explain.explain`,
`record` and `time_spent`.
"""
