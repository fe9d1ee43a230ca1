"""Orders about runs, one file each: what is asked is checked, stored, and then the runner is told.

`approval` has every decision of a person: about plans, and about steps in doubt. `deletion` is also
the retention, which removes what has been kept long enough. `dry_runs` stores nothing. The order to
cancel is in `graph.runs.cancellation`, with what ends the execution of a run.

Others use `approval`, `call`, `deletion`, `dry_runs`, `fork`, `retry` and `threads.Threads`.
"""
