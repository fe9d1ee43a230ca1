"""Databases with runs of all kinds that a program of version 11 has left, to be read by later ones.

`settled` has runs that rest: settled ones, and some that wait for a person. `unfinished` has what
was going on when its server was killed, and orders that it had stored and not carried out.

    python -m tests.support.stored.stored_runs      makes both again, with the program as it is now

Their ids and times are others then: the golden files of `tests.support.stored.comparison` are to be
written anew, by the same program, a minute or more later, when no wait for an attempt is left.
"""

import lzma
import sqlite3
import tempfile
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Literal

#: The version of the database: SQLite's `user_version`.
VERSION = 11

FOLDER = Path(__file__).parent / "databases"

Name = Literal["settled", "unfinished"]

#: Whose the runs are, and the keys by which each owner comes. They open nothing else.
OWNERS = ("alice", "bob", "default")
KEYS = {owner: f"rw_the-key-of-{owner}-for-stored-runs" for owner in OWNERS}

#: The setting of a server that knows these keys.
API_KEYS = ",".join(f"{owner}:{sha256(key.encode()).hexdigest()}" for owner, key in KEYS.items())

_OWN = "tests.support.stored.stored_tools"

#: The tools that the runs call; `hold` never ends where they are made, and at once afterwards.
_TOOLS = (
    "examples.flaky:fail_times",
    "examples.flaky:sleep",
    "examples.flaky:block",
    f"{_OWN}:forecast",
    f"{_OWN}:letters",
    f"{_OWN}:charge",
)
TOOLS_WHEN_MADE = ",".join((*_TOOLS, f"{_OWN}:hold"))
TOOLS_AFTERWARDS = ",".join((*_TOOLS, f"{_OWN}:let_go"))


def unpack(name: Name, folder: Path) -> Path:
    """A copy of a stored database, as `runs.db` in `folder`."""
    path = folder / "runs.db"
    path.write_bytes(lzma.decompress(_file(name).read_bytes()))
    return path


def pack(name: Name, database: Path) -> None:
    """Store a database that nobody has open."""
    with tempfile.TemporaryDirectory() as folder:
        compact = Path(folder) / "compact.db"
        with closing(sqlite3.connect(database)) as source:
            source.execute("VACUUM INTO ?", (str(compact),))
        with closing(sqlite3.connect(compact)) as made:
            [(version,)] = made.execute("PRAGMA user_version")
        assert version == VERSION, f"the program writes version {version}: keep both"
        FOLDER.mkdir(exist_ok=True)
        _file(name).write_bytes(lzma.compress(compact.read_bytes()))


def _file(name: Name) -> Path:
    return FOLDER / f"{name}_{VERSION}.db.xz"


def _make() -> None:
    from tests.support.stored.databases.settled_runs import make_settled
    from tests.support.stored.databases.unfinished_runs import make_unfinished

    for name, make in (("settled", make_settled), ("unfinished", make_unfinished)):
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder))
            pack(name, Path(folder) / "runs.db")  # type: ignore[arg-type]


if __name__ == "__main__":
    _make()
