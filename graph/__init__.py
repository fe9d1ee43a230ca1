"""The machine: what travels, where it goes, how a run is kept.

`edges` decides where a run goes after each node, a step that is tried again included, and `build`
wires them. `compose` builds everything from the settings, and `service` is what it gives: `Runs`,
with every command on runs. `drawing` shows the graph; `workbench` is for notebooks and Studio.

What is done with a run is read in five files each, in this order. The first three begin with a file
of `api.routes` and `service`, the last one with `compose` and `service`:

- cancel: `commands.cancel`, `runs.runner`, `runs.cancellation`
- retry: `commands.retry`, `runs.runner`, `runs.recovery`
- approval: `commands.approval`, `runs.runner`, `runs.recovery`
- recovery after a crash: `runs.runner`, `runs.quarantine`, `runs.recovery`
"""
