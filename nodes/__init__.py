"""One file per node of the graph, and what the nodes know.

`execute_step` makes one attempt and says whether and when the next one is due. What the pattern
planner knows of language is in patterns/.
"""
