"""Which accepted run is executed next, and how many at once; fair between owners.

Others use `executor.Executor`, `executor.QueueFull` and `fair.Job`.
"""
