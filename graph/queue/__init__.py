"""Which accepted run is next, and how many at once; fair between owners.

Others use `executor.CURRENT`, `executor.Executor`, `executor.Job`, `executor.Load`,
`executor.QueueFull` and `model_calls.ModelCalls`.
"""
