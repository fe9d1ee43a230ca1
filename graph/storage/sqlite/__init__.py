"""Storage in one SQLite file, owned by one process: one writer, several readers.

`index` searches on the connection of `searcher`, `store` has LangGraph's saver and store, and
`connections` the one thread that writes. `maintenance` copies the file, and makes it smaller.

Others use `maintenance` and `open`.
"""
