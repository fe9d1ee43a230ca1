"""Runs in execution: accepted, driven from checkpoint to checkpoint, resumed, watched, read.

Others use `accept`, `context`, `history`, `reader`, `recovery`, `runner.Runner` and `watch`.
"""
