"""Runs in execution: accepted, driven from checkpoint to checkpoint, resumed, watched, read.

After the end of a process, or a crash of the database that it has alone, `alone` queues what was
left; `recovery` says from which checkpoint each is resumed, and `quarantine` keeps apart those that
may have ended it.

`health` looks at the storage, the models, and the servers of tools.

Others use `accept`, `alone`, `context`, `fleet`, `health`, `history`, `live`, `recovery`,
`replay`, `runner.Runner`, `settled`, `threads` and `watch`.
"""
