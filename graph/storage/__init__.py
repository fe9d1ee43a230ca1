"""Where runs are kept: a contract (`storage`), and a folder for each backend (`open` chooses).

`sql` has what both backends do alike, the writing of checkpoints among it.

Others use `audit`, `fleet`, `open`, `outbox`, `owned`, `pages`, `search`, `sqlite.backup`,
`storage` and `threads`.
"""
