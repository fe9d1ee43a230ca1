"""Where runs are kept: a contract (`storage`), and a folder for each backend (`open` chooses).

Others use `audit`, `open.open_storage`, `open.sqlite_path`, `outbox`, `pages`, `search`,
`sqlite.backup`, `sqlite.ownership`, `storage` and `threads`.
"""
