"""One file for each thing that is asked for: the route, its body and its answer.

`runs` has what is asked of one run or all (start, read, cancel, remove), `server` what is asked of
the server (health, its settings, the drawing), `threads` what is asked of conversations, `tools`
what is asked of tools, `audit` who did what, `history` checkpoints of a run, and forks from them.

`replay` has what is asked of runs that are over: exported, run again, compared.

Others use `approval`, `audit`, `history`, `live`, `replay`, `retry`, `runs`, `server`, `threads`
and `tools`.
"""
