"""Where runs are kept: a contract (`storage`), and a folder for each backend (`open` chooses).

`sql` has what both backends do alike, the writing of checkpoints among it. `records` has what is
kept beside runs.

Others use `fleet`, `open`, `records`, `search` and `storage`.
"""
