"""Storage in one SQLite file, owned by one process: one writer, several readers.

`index` searches on the connection of `searcher`, `store` has LangGraph's saver and store, and
`writer` is the one thread that writes.

Others use `backup`, `open` and `ownership`.
"""
