"""Which accepted run is next, and how many at once; fair between owners.

`worker` takes jobs that several processes share, and gives the runs to the executor of this one.
`share` is how much of the event loop's time each owner has had.

Others use `executor.CURRENT`, `executor.Executor`, `executor.Job`, `executor.QueueFull`,
`fair.Load`, `model_calls.ModelCalls`, `quotas`, `share` and `worker`.
"""
