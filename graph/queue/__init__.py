"""Which accepted run is next, and how many at once; fair between owners.

`worker` takes jobs that several processes share, and gives the runs to the executor of this one.
`share` has the event loop's time and the calls of models, `fair` what else an owner may have.

Others use `executor`, `fair`, `share` and `worker`.
"""
