"""Storage in one SQLite file, owned by one process: one writer, several readers.

Others use `backup` and `open`.
"""
