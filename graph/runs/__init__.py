"""Runs in execution: accepted, driven from checkpoint to checkpoint, resumed, watched, read.

After the end of a process, or a crash of the database that it has alone, `alone` queues what was
left; `recovery` says from which checkpoint each is resumed, and `quarantine` keeps apart those that
may have ended it.

Others use `accept`, `alone`, `cancellation`, `context`, `fleet`, `history`, `live`, `recovery`,
`replay`, `runner.Runner`, `threads` and `watch`.
"""
