"""Storage in one Postgres database, owned by one process or shared: one connection of each writes.

`schema` has the tables, which are SQLite's, and `ownership` says who may write. Nothing of
`psycopg` is imported before this folder is, which is where a URL names such a database.

Others use `migration` and `open`.
"""
