"""One file for each thing that is asked for: the route, its body and its answer.

`runs` has what is asked of one run or all (start, read, cancel, remove), `server` what is asked of
the server (health, its settings, the drawing), `threads` what is asked of conversations, `tools`
what is asked of tools, `search` what is listed, and who did what, `history` checkpoints of a run,
forks from them, and what is asked of runs that are over: exported, run again, compared.

Others use `approval`, `history`, `live`, `retry`, `runs`, `search`, `server`, `threads` and
`tools`.
"""
