"""Where runs are kept: one contract, and a folder or a file for each backend.

Others use `open.open_storage`, `open.sqlite_path`, `pages`, `search`, `sqlite.backup`,
`sqlite.open` and `storage`.
"""
