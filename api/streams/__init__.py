"""Events as they come: server-sent events of one run, and of all that change.

Others use `sse` and `streams`.
"""
