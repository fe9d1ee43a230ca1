"""The backends of storage, chosen by URL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from graph.storage.storage import Storage, StorageError


@asynccontextmanager
async def open_storage(url: str, *, server_url: str | None = None) -> AsyncIterator[Storage]:
    """Open the backend that `url` names, for as long as the context lasts.

    `memory://`, `sqlite:///relative.db` or `sqlite:////absolute.db`. `server_url` is noted as
    the owner of a file. Raises `StorageError`, and `FileOwned` when another process has the file.
    """
    # Each backend is imported when it is chosen, so that none pays for another's libraries.
    if url == "memory://":
        from graph.storage.memory import open_memory

        async with open_memory() as storage:
            yield storage
    else:
        from graph.storage.sqlite.open import open_sqlite

        async with open_sqlite(sqlite_path(url), server_url=server_url) as storage:
            yield storage


def sqlite_path(url: str) -> Path:
    """The file that a `sqlite:///` URL names. Raises `StorageError` for any other URL."""
    prefix = "sqlite:///"
    path = url.removeprefix(prefix)
    if not url.startswith(prefix) or not path or path == ":memory:" or path.endswith("/"):
        raise StorageError(
            f"{url!r} names no database; use sqlite:///relative.db, sqlite:////absolute.db"
            " or memory:// (RUNWRIGHT_DATABASE_URL)"
        )
    return Path(path)
