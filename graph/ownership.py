"""One process owns a SQLite file: an OS lock beside it, and a note of who holds it."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout


@dataclass(frozen=True)
class Owner:
    """Who holds a file; `url` is where its server answers, None for a process without one."""

    pid: int
    url: str | None


class FileOwned(Exception):
    """Another process owns the file. `owner` is None when it left no readable note."""

    def __init__(self, path: Path, owner: Owner | None) -> None:
        self.path = path
        self.owner = owner
        super().__init__(f"{path} is in use by {_named(owner)}")


@contextmanager
def own(path: Path, *, url: str | None) -> Iterator[None]:
    """Hold `path` for this process; the OS gives it back however the process ends.

    Raises `FileOwned` at once when another process holds it, `OSError` when its folder is missing
    or cannot be written.
    """
    real = path.resolve()  # whatever link it was named by, it is the same file
    if not real.parent.is_dir():  # the lock would make it, and hide a mistyped path
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(real.parent))
    lock = FileLock(f"{real}.lock")
    note = Path(f"{real}.owner")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise FileOwned(path, _read(note)) from None
    try:
        note.write_text(json.dumps(asdict(Owner(os.getpid(), url))))
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def noted_owner(path: Path) -> Owner | None:
    """Who holds `path`, or was killed while it did; nothing is locked to find it out."""
    return _read(Path(f"{path.resolve()}.owner"))


def _read(note: Path) -> Owner | None:
    try:
        return Owner(**json.loads(note.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _named(owner: Owner | None) -> str:
    if owner is None:
        return "another process"
    where = f"the server at {owner.url}" if owner.url else "a `runwright run` or a notebook"
    return f"{where} (process {owner.pid})"
