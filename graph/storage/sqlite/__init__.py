"""Storage in one SQLite file, owned by one process: one writer, several readers.

`connections` has the one thread that writes, and `index` searches on a connection of `maintenance`,
which also tries the tables and makes the file smaller.

Others use `connections`, `open` and `schema`.
"""
