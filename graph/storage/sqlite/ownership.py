"""One process owns a SQLite file: an OS lock beside it, and a note of who holds it.

What lies beside the file is as private as the file: nothing is read from or written to what
another user has put there, and nothing is written through a symbolic link.
"""

import errno
import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from graph.storage.owned import DatabaseOwned, Owner, ServerAddress
from graph.storage.storage import StorageError

#: Who may read and write what is made here: this user alone.
PRIVATE = 0o600

#: What may lie beside a database: what SQLite puts there, the lock, and the note of its owner.
BESIDE = ("-wal", "-shm", "-journal", ".lock", ".owner")


class FileOwned(DatabaseOwned):
    """Another process owns the file. `owner` is None when it left no readable note."""

    def __init__(self, path: Path, owner: Owner | None) -> None:
        self.path = path
        super().__init__(str(path), owner, kind="file", owner_now=lambda: read_owner(path))


class Ownership:
    """A file that is held. What was made for it is taken away at the end, unless it is kept.

    `killed`: whether who held it before, or the machine, ended without closing it.
    """

    def __init__(self, path: Path, made: list[Path], *, killed: bool) -> None:
        self.killed = killed
        self._path = path
        self._made = made

    def make_database(self) -> None:
        """Make the file for this user alone, unless it is there.

        SQLite gives what it puts beside it the same rights.
        """
        with suppress(FileExistsError):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE))
            self._made += [Path(f"{self._path}{suffix}") for suffix in ("", *BESIDE[:3])]
        check_place(self._path)  # what has been made meanwhile too

    def keep(self) -> None:
        """The file has turned out to be one for us."""
        self._made.clear()


@contextmanager
def own(path: Path, server: ServerAddress | None = None) -> Iterator[Ownership]:
    """Hold `path` for this process; the OS gives it back however the process ends.

    Raises `FileOwned` at once when another process holds it, `StorageError` where something is not
    this user's, and `OSError` when its folder is missing or cannot be written.
    """
    real = _real(path)
    if not real.parent.is_dir():  # the lock would make it, and hide a mistyped path
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(real.parent))
    check_place(path)
    lock_file, note = Path(f"{real}.lock"), Path(f"{real}.owner")
    made = [] if lock_file.exists() else [lock_file]
    lock = _locked(lock_file)
    if lock is None:
        check_place(path)
        raise FileOwned(path, read_owner(path))
    try:
        check_place(path)  # what has been made since the first look too
        ownership = Ownership(real, made, killed=note.exists())
        note.unlink(missing_ok=True)
        _write(note, server)
        yield ownership
    finally:
        # Before the lock is given back: who waits for it sees that it is not there any more.
        for file in (*made, note):
            file.unlink(missing_ok=True)
        os.close(lock)


def _locked(file: Path) -> int | None:
    """A descriptor that holds the lock of the OS on a file until it is closed, and with it the
    process; None where another process holds it."""
    while True:
        flags = os.O_RDWR | os.O_NOFOLLOW
        try:
            lock = os.open(file, flags)
        except FileNotFoundError:  # who may not make it, since it is another's, may have it
            lock = os.open(file, flags | os.O_CREAT, PRIVATE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock).st_nlink:  # else who held it has just taken it away
                with suppress(PermissionError):
                    os.fchmod(lock, PRIVATE)
                return lock
        except OSError as error:
            os.close(lock)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return None
            raise
        os.close(lock)


def check_place(path: Path) -> None:
    """Raises `StorageError` where a database, or what lies beside it, is not this user's to use.

    That is a symbolic link or no file at all, and in a folder where everybody may write what is
    another user's; elsewhere what lies beside may also be of the database's owner.
    """
    real = _real(path)
    try:
        shared = bool(real.parent.stat().st_mode & stat.S_IWOTH)
        owners = {os.geteuid()} if hasattr(os, "geteuid") else set()
        for suffix in ("", *BESIDE):
            with suppress(FileNotFoundError):
                file = Path(f"{path}{suffix}")
                status = Path(f"{real}{suffix}").lstat()
                _check_kind(file, status)
                if not suffix and not shared:
                    owners |= {status.st_uid}
                if owners and status.st_uid not in owners:
                    raise StorageError(
                        f"{file} belongs to another user; take it away, or put the database into a"
                        " folder where only you can write (RUNWRIGHT_DATABASE_URL)"
                    )
    except FileNotFoundError:
        return  # no folder, hence nothing in it


def _check_kind(file: Path, status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise StorageError(
            f"{file} is a symbolic link, and nothing is written through one; name the file itself"
            " (RUNWRIGHT_DATABASE_URL)"
        )
    if not stat.S_ISREG(status.st_mode):
        raise StorageError(f"{file} is no file; name another one (RUNWRIGHT_DATABASE_URL)")


def _real(path: Path) -> Path:
    """The file by its one name: its folder may be named by a link, it may not."""
    return path.parent.resolve() / path.name


def read_owner(path: Path) -> Owner | None:
    """Who holds the file as its note says, None where no note can be read."""
    try:
        # Not through a link, nor held up by a pipe.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        with os.fdopen(os.open(f"{_real(path)}.owner", flags)) as file:
            status = os.fstat(file.fileno())
            owner = Owner(**json.loads(file.read(10_000)))
    except (OSError, ValueError, TypeError):
        return None
    return owner if _is_private(status) else Owner(owner.pid, owner.url)


def _is_private(status: os.stat_result) -> bool:
    """Whether nobody but this user can have written it, or read it."""
    if not hasattr(os, "geteuid"):
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & 0o077


def _write(note: Path, server: ServerAddress | None) -> None:
    content = {"pid": os.getpid(), "url": server and server.url}
    if server is not None:
        content["secret"] = server.secret
    with os.fdopen(os.open(note, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE), "w") as file:
        file.write(json.dumps(content))
