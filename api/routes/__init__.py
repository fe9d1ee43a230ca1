"""One file for each thing that is asked for: the route, its body and its answer.

Others use `approval`, `fork`, `history`, `live`, `retry`, `runs` and `server`.
"""
