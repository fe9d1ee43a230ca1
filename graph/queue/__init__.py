"""Which accepted run is executed next, and how many at once; fair between owners.

Others use `executor.Executor`, `executor.Job` and `executor.QueueFull`.
"""
