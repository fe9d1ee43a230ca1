"""One file for each thing that is asked for: the route, its body and its answer.

`runs` has what is asked of one run or all (start, read, cancel, remove), `commands` what is decided
about one that has stopped (approve, reject, resolve, retry), and `history` a run over time: events,
checkpoints, forks from them, and what is asked of runs that are over. `lists` has what is listed:
runs, conversations, and who did what; `server` what is asked of the server (health, its settings,
the drawing), and of its tools.

Others use `commands`, `history`, `lists`, `runs` and `server`.
"""
