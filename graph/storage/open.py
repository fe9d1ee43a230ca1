"""The backends of storage, chosen by URL: opened, made, moved, and copied to a file."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from graph.settings.configured import without_secrets
from graph.storage.records import ServerAddress
from graph.storage.sqlite.connections import BUSY_TIMEOUT
from graph.storage.sqlite.open import FileOwned, open_sqlite, own
from graph.storage.sqlite.schema import APPLICATION_ID
from graph.storage.storage import Storage, StorageError

if TYPE_CHECKING:
    from graph.storage.postgres.migration import Moved

#: What the folders of `memory://` are named by, in the one for temporary files.
TEMPORARY = "runwright-memory-"


@asynccontextmanager
async def open_storage(
    url: str,
    *,
    server: ServerAddress | None = None,
    timed: Callable[[float], None] | None = None,
    shared: bool = False,
) -> AsyncIterator[Storage]:
    """Open the backend that `url` names, for as long as the context lasts.

    `memory://`, `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://…`. `server` is
    noted as the owner of a database, `timed` is told how long each transaction took, in seconds.
    With `shared` any number of processes may have a Postgres database.
    Raises `StorageError`, and `DatabaseOwned` when another process has the database.
    """
    if shared and not is_postgres(url):
        raise StorageError(
            "several processes share a Postgres database only; RUNWRIGHT_DATABASE_URL names none"
        )
    if url == "memory://":
        with _temporary_folder() as folder:
            async with open_sqlite(folder / "runs.db", server=server, timed=timed) as storage:
                yield replace(storage, backend="memory")
    elif is_postgres(url):
        opening = postgres().open_postgres(url, server=server, timed=timed, shared=shared)
        async with opening as storage:
            yield storage
    else:
        async with open_sqlite(sqlite_path(url), server=server, timed=timed) as storage:
            yield storage


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """A folder that is removed at the end; what killed processes have left goes first."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=TEMPORARY))
    except OSError as error:
        raise StorageError(
            f"memory:// needs a folder for temporary files (TMPDIR): {error.strerror}"
        ) from error
    try:
        # A database is made once its file is owned: without one, the process may be just starting.
        for left in folder.parent.glob(f"{TEMPORARY}*/runs.db"):
            _remove_unless_owned(left)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_unless_owned(left: Path) -> None:
    try:
        with own(left):
            shutil.rmtree(left.parent, ignore_errors=True)
    except (FileOwned, StorageError, OSError):  # in use, or another user's
        pass


@asynccontextmanager
async def owning(url: str) -> AsyncIterator[None]:
    """Hold a database that is kept, and nothing else; the same errors."""
    if is_postgres(url):
        async with postgres().owning_postgres(url):
            yield
    else:
        with own(sqlite_path(url)):
            yield


def is_postgres(url: str) -> bool:
    """Whether a URL names a Postgres database."""
    return url.startswith(("postgresql://", "postgres://"))


def postgres() -> ModuleType:
    """What opens a Postgres database. Raises `StorageError` without the database driver."""
    if find_spec("psycopg") is None:
        raise StorageError(
            "RUNWRIGHT_DATABASE_URL names a Postgres database, and what it needs is not installed;"
            " `make postgres` installs it"
        )
    from graph.storage.postgres import open as opening  # with the database driver, which few need

    return opening


async def migrate(url: str) -> tuple[int, int]:
    """Make the tables of a Postgres database, or upgrade them; the versions before and now.

    Raises `StorageError`.
    """
    _check_postgres(url)
    return await postgres().migrate_postgres(url)  # type: ignore[no-any-return]


async def move(source: str, url: str) -> "Moved":
    """Copy the runs of a SQLite database, to-dos and all, to a Postgres database that has nothing.

    All of it or nothing. Raises `StorageError`, and `DatabaseOwned` where a process has either.
    """
    _check_postgres(url)
    file = sqlite_path(source)
    if not file.exists():
        raise StorageError(f"there is no database {file} to move (--from)")
    # Brought to this program's version, and nobody writes to it.
    async with open_storage(source):
        try:
            return await postgres().move_into(url, file)  # type: ignore[no-any-return]
        except sqlite3.Error as error:
            raise StorageError(f"cannot read the database {file}: {error}") from None


def _check_postgres(url: str) -> None:
    if not is_postgres(url):
        raise StorageError(
            "RUNWRIGHT_DATABASE_URL names no Postgres database; a SQLite file is brought to this"
            " program's version where it is opened"
        )


def kept_in(url: str) -> Path | None:
    """The file that has what is kept, None where a server of databases has it."""
    return None if is_postgres(url) else sqlite_path(url)


def sqlite_path(url: str) -> Path:
    """The file that a `sqlite:///` URL names. Raises `StorageError` for any other URL."""
    prefix = "sqlite:///"
    path = url.removeprefix(prefix)
    if not url.startswith(prefix) or not path or path == ":memory:" or path.endswith("/"):
        raise StorageError(
            f"{without_secrets(url)!r} names no database; use sqlite:///relative.db, sqlite:////absolute.db,"
            " postgresql://host/name or memory:// (RUNWRIGHT_DATABASE_URL)"
        )
    return Path(path)


# A copy of a SQLite file as it is at one moment, beside the server that has it or without one.


class BackupFailed(Exception):
    """There is no copy; the message is one line that says why and what to do."""


@dataclass(frozen=True)
class Copied:
    """What a copy holds; `size` in bytes."""

    runs: int
    size: int


def back_up(source: Path, target: Path) -> Copied:
    """Copy a database to a file that is not there yet; it is there whole or not at all.

    Those who write meanwhile are not held up: the copy is of the moment at which it was begun.
    Raises `BackupFailed`.
    """
    if os.path.lexists(target):
        raise BackupFailed(f"{target} is there already and is not overwritten; name another file")
    if not source.is_file():
        raise BackupFailed(f"there is no database {source} to copy (RUNWRIGHT_DATABASE_URL)")
    if not target.parent.is_dir():
        raise BackupFailed(f"there is no folder {target.parent}; make it, or name another file")
    try:
        with _unfinished(target) as part:
            runs = _copy(source, part)
            size = part.stat().st_size
            _publish(part, target)
    except FileExistsError:
        raise BackupFailed(f"{target} was made meanwhile and is not overwritten") from None
    except (sqlite3.Error, OSError) as error:
        damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(
            error, sqlite3.OperationalError
        )
        more = "; an earlier copy is to be put back" if damaged else ""
        raise BackupFailed(f"cannot copy {source} to {target}: {error}{more}") from error
    return Copied(runs, size)


@contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """A file beside the target, which nobody takes for a copy while it is none."""
    number, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(number)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _copy(source: Path, part: Path) -> int:
    """The number of runs in the copy."""
    # Not read-only: what a killed process left in the log beside the file is a part of it, and
    # cannot be read without writing.
    with (
        closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=rw", uri=True)) as original,
        closing(sqlite3.connect(part)) as copy,
    ):
        original.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT * 1000:.0f}")
        [(application,)] = original.execute("PRAGMA application_id")
        if application != APPLICATION_ID:
            raise BackupFailed(f"{source} is no database of Runwright (RUNWRIGHT_DATABASE_URL)")
        # All pages in one step: in several it would begin anew with every write of the server.
        original.backup(copy, pages=-1)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, nothing beside it
        [(runs,)] = copy.execute("SELECT count(*) FROM runs")
        if copy.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
            raise sqlite3.DatabaseError("a page is damaged")
    return int(runs)


def _publish(part: Path, target: Path) -> None:
    """Give the copy its name, unless something has it. Raises `FileExistsError`."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise
    except OSError:  # there are file systems without links
        if os.path.lexists(target):
            raise FileExistsError(target) from None
        part.rename(target)
