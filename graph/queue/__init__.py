"""Which accepted run is next, and how many at once; fair between owners.

`worker` takes jobs that several processes share, and gives the runs to the executor of this one.
`share` is how much of the event loop's time each owner has had, `fair` what else one may have.

Others use `executor`, `fair`, `model_calls.ModelCalls`, `share` and `worker`.
"""
