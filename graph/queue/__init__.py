"""Which accepted run goes on next, and how many at once; fair between owners.

Others use `executor.CURRENT`, `executor.Executor`, `executor.Job`, `load.Load`,
`executor.QueueFull` and `model_calls.ModelCalls`.
"""
