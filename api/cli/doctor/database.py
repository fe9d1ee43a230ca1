"""The database: whether a server can open it, or which one has it."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from api.cli.doctor.finding import Finding, fails, ok, warning
from api.cli.doctor.network import answers_as_runwright
from graph.settings import Settings
from graph.state.wording import counted
from graph.storage.open import sqlite_path
from graph.storage.sqlite.backup import Look, look_at
from graph.storage.sqlite.open import noted_owner
from graph.storage.sqlite.schema import VERSION
from graph.storage.storage import StorageError

CHECK = "database"

#: Less room than this on the disk is worth a warning, in bytes.
LITTLE_ROOM = 100 * 2**20

ELSEWHERE = "set RUNWRIGHT_DATABASE_URL to another file"
DAMAGED = f"restore a copy that `runwright backup` made, or {ELSEWHERE}"


def check_database(settings: Settings) -> Iterator[Finding]:
    """Look at it without making, locking or changing anything."""
    if settings.database_url == "memory://":
        yield warning(
            CHECK,
            "memory:// keeps nothing beyond the process",
            "set RUNWRIGHT_DATABASE_URL=sqlite:///runwright.db to keep runs",
        )
        return
    try:
        path = sqlite_path(settings.database_url)
    except StorageError as error:
        yield fails(CHECK, str(error), "set RUNWRIGHT_DATABASE_URL to one of these")
        return
    yield from _check_file(path)


def _check_file(path: Path) -> Iterator[Finding]:
    folder = path.resolve().parent
    if not folder.is_dir():
        yield fails(CHECK, f"{path}: there is no folder {folder}", f"make it, or {ELSEWHERE}")
        return
    # The lock, the note of the owner and SQLite's log are made beside it; another user may have
    # left them, root who tried something out for one.
    beside = [Path(f"{path.resolve()}{end}") for end in (".lock", ".owner", "-wal", "-shm")]
    for needed in (folder, path, *beside):
        if needed.exists() and not os.access(needed, os.W_OK):
            mend = f"let the user who starts the server write it, or {ELSEWHERE}"
            yield fails(CHECK, f"{path}: {needed} cannot be written", mend)
            return
    yield _file(path)
    room = shutil.disk_usage(folder).free
    if room < LITTLE_ROOM:
        mend = "make room, or keep runs for fewer days (RUNWRIGHT_RETENTION)"
        yield warning(CHECK, f"{room:,} bytes are left on the disk of {path}", mend)


def _file(path: Path) -> Finding:
    if not path.exists():
        return ok(CHECK, f"{path} is not there yet; the first start makes it")
    if not path.is_file():  # to open a pipe would wait for its other end
        return fails(CHECK, f"{path} is no file", ELSEWHERE)
    try:
        look = look_at(path)
    except (sqlite3.Error, OSError) as error:
        return fails(CHECK, f"{path} cannot be read: {error}", DAMAGED)
    if look.tables and not look.ours:
        return fails(CHECK, f"{path} belongs to another program", ELSEWHERE)
    if not look.tables and not look.version:
        return ok(CHECK, f"{path} is empty; the first start fills it")
    if look.version > VERSION:
        message = f"{path} has version {look.version}, this Runwright reads up to {VERSION}"
        return fails(CHECK, message, f"install the newer Runwright that wrote it, or {ELSEWHERE}")
    return _ours(path, look)


def _ours(path: Path, look: Look) -> Finding:
    if look.runs is None:
        return fails(CHECK, f"{path} is damaged: it has no table of runs", DAMAGED)
    runs = counted(look.runs, "run", grouped=True)
    holds = f"{path}: version {look.version}, {runs}, {look.size:,} bytes"
    owner = noted_owner(path)
    if owner is not None and owner.url and answers_as_runwright(owner.url):
        return ok(CHECK, f"{holds}, served at {owner.url} (process {owner.pid})")
    if owner is not None and _lives(owner.pid):
        if owner.url is None:
            return ok(
                CHECK, f"{holds}, in use by a `runwright run` or a notebook (process {owner.pid})"
            )
        message = f"{holds}; process {owner.pid} has it, but does not answer at {owner.url}"
        return warning(CHECK, message, "wait for its start or end, and look at its log lines")
    if look.version < VERSION:
        message = f"{holds}; the next start brings it to version {VERSION}, for good"
        return warning(CHECK, message, "`runwright backup FILE` first, to be able to go back")
    left = "" if owner is None else ", left by a process that was killed; the next start goes on"
    return ok(CHECK, holds + left)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True
