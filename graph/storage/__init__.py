"""Where runs are kept: a contract (`storage`), and a folder for each backend (`open` chooses).

Others use `fleet`, `open`, `outbox`, `owned`, `pages`, `search`, `sqlite.backup`, `storage` and
`threads`.
"""
