"""One file per node of the graph; what the pattern planner knows of language is in patterns/."""
