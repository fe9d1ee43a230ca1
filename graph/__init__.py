"""The machine: what travels, where it goes, how a run is kept.

`edges` decides where a run goes after each node, a step that is tried again included, and `build`
wires them. `compose` builds everything from the settings, and `service` is what it gives: `Runs`,
with every command on runs, and `Health`, which looks at the storage and at the models. `studio`
and `drawing` show the graph.
"""
