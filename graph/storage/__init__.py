"""Where runs are kept: a contract (`storage`), and a folder for each backend (`open` chooses).

`sql` has what both backends do alike, the writing of checkpoints among it. `changes` has the
audit and the outbox.

Others use `changes`, `fleet`, `open`, `owned`, `search`, `sqlite.maintenance`, `storage` and
`threads`.
"""
