"""Orders about runs: what is asked is checked, stored, and then the runner is told.

`approval` has every decision of a person: about plans, and about steps in doubt. `seeded` begins
runs that continue others, or call one tool. `threads` also removes single runs. The order to cancel
is in `graph.runs.cancellation`, with what ends the execution of a run.

Others use `approval`, `retry`, `seeded` and `threads`.
"""
