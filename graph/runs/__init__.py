"""Runs in execution: accepted, driven from checkpoint to checkpoint, resumed, watched, read.

`recovery` says from where a run is resumed that a process left, and `quarantine` keeps apart those
that may have ended it.

Others use `accept`, `context`, `fleet`, `health`, `history`, `live`, `recovery`,
`replay`, `runner.Runner`, `settled`, `threads` and `watch`.
"""
