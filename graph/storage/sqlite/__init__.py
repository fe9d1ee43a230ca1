"""Storage in one SQLite file, owned by one process: one writer, several readers.

`checkpoints` says what is written of a run's state, and `writer` is the one thread that writes.

Others use `backup`, `open` and `ownership`.
"""
