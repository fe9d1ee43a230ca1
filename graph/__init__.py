"""The machine: what travels, where it goes, how a run is kept.

`build` has the nodes and their edges: where a run goes after each node, a step that is tried again
included. `compose` builds everything from the settings, and `service` is what it gives: `Runs`,
with every command on runs, and `Health`, which looks at the storage and at the models. `studio`
and `drawing` show the graph.
"""
