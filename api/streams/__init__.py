"""Events as they come: server-sent events of one run, and of all that change.

Others use `sse.HEADERS`, `sse.HEARTBEAT`, `sse.unless_gone` and `streams`.
"""
