"""The machine: what travels, where it goes, how a run is kept.

`build` wires the nodes and decides where a run goes after each of them, a step that is tried again
included. `compose` builds everything from the settings, and `service` is what it gives: `Runs`,
with every command on runs. `workbench` is for notebooks and Studio.

What is done with a run is read in five files each, or four, in this order. The first three begin
with a file of `api.routes` and `service`, the last one with `compose` and `service`:

- cancel: `runs.cancellation`, `runs.runner`
- retry: `commands.retry`, `runs.runner`, `runs.recovery`
- approval: `commands.approval`, `runs.runner`, `runs.recovery`
- recovery after a crash: `runs.upkeep`, `runs.threads`, `runs.recovery`
"""
