"""Runs in execution: accepted, driven from checkpoint to checkpoint, resumed, watched, read.

After the end of a process, or a crash of the database that it has alone, `upkeep` queues what was
left, and `recovery` says from which checkpoint each is resumed. `threads` has the order of all, and
keeps apart those that may have ended a process.

Others use `accept`, `cancellation`, `context`, `fleet`, `history`, `live`, `recovery`, `replay`,
`runner.Runner`, `threads`, `upkeep` and `watch`.
"""
