"""Where runs are kept: a contract (`storage`), and a folder for each backend (`open` chooses).

Others use `audit`, `fleet`, `open`, `outbox`, `owned`, `pages`, `search`, `sqlite.backup`,
`storage` and `threads`.
"""
