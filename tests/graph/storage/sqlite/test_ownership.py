"""One process owns a SQLite file; every other one is told who."""

import asyncio
import fcntl
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from graph.storage.open import open_storage
from graph.storage.sqlite.index import SqliteIndex
from graph.storage.sqlite.open import FileOwned, Owner, ServerAddress, own, read_owner
from graph.storage.storage import StorageError
from tests.support.checkout import ROOT
from tests.support.wording.messages import wording

OWNER = """
import sys
from pathlib import Path
from graph.storage.sqlite.open import ServerAddress, own
with own(Path(sys.argv[1]), ServerAddress(sys.argv[2]) if sys.argv[2] else None):
    print("owned", flush=True)
    sys.stdin.read()
"""


@contextmanager
def owner(path: Path, url: str = "http://127.0.0.1:8000") -> Iterator[subprocess.Popen[str]]:
    """Another process that owns the file until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(path), url],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "owned\n"
        yield process
        process.kill()


async def test_a_file_that_a_server_has_is_refused_with_its_address(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with owner(path) as process, pytest.raises(FileOwned) as error:
        async with open_storage(f"sqlite:///{path}"):
            pass

    assert error.value.owner == Owner(process.pid, "http://127.0.0.1:8000")
    assert str(error.value) == wording(
        "storage.owned.server", path=path, url="http://127.0.0.1:8000", pid=process.pid
    )
    assert not path.exists()


@pytest.mark.slow  # a second process of its own
def test_a_process_without_a_server_is_named_too(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with owner(path, url="") as process, pytest.raises(FileOwned) as error, own(path):
        pass

    assert error.value.owner == Owner(process.pid, None)
    assert str(error.value) == wording("storage.owned.process", path=path, pid=process.pid)


def test_a_file_is_free_again_after_its_owner_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with owner(path) as process:
        process.kill()
        process.wait(10)
        with own(path, ServerAddress("http://localhost:1", "secret")) as ownership:
            note = json.loads((tmp_path / "runs.db.owner").read_text())

    assert ownership.killed
    assert note == {"pid": os.getpid(), "url": "http://localhost:1", "secret": "secret"}


def test_a_file_is_free_again_after_its_owner_is_done(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    for _ in range(2):
        with own(path) as ownership:
            ownership.keep()

    assert [left.name for left in tmp_path.iterdir()] == ["runs.db.lock"]


def opened(path: Path) -> None:
    """Open the database and close it again."""

    async def open_and_close() -> None:
        async with open_storage(f"sqlite:///{path}"):
            pass

    asyncio.run(open_and_close())


def test_nothing_is_left_beside_a_path_that_was_refused(tmp_path: Path) -> None:
    """Neither the lock and the note nor the log of a database of another program."""
    foreign, newer, text = (tmp_path / name for name in ("foreign.db", "newer.db", "text.db"))
    text.write_text("no database at all, " * 100)
    with closing(sqlite3.connect(foreign)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE theirs (a)")
    opened(newer)
    (tmp_path / "newer.db.lock").unlink()
    with closing(sqlite3.connect(newer)) as database:
        database.execute("PRAGMA user_version=1000")
    before = sorted(tmp_path.iterdir())
    for path in (foreign, newer, text, tmp_path):
        with pytest.raises(StorageError):
            opened(path)
    assert sorted(tmp_path.iterdir()) == before
    assert not list(tmp_path.parent.glob(f"{tmp_path.name}.*"))


def test_a_file_that_could_not_be_filled_is_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(SqliteIndex, "migrate", full)
    with pytest.raises(StorageError, match="disk is full"):
        opened(tmp_path / "runs.db")
    assert not list(tmp_path.iterdir())


def test_a_file_is_owned_once_in_a_process_too(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with own(path), pytest.raises(FileOwned), own(path):
        pass


def test_a_file_is_the_same_by_whatever_link_its_folder_is_named(tmp_path: Path) -> None:
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    with (
        own(folder / "runs.db"),
        pytest.raises(FileOwned, match="link/runs"),
        own(link / "runs.db"),
    ):
        pass


PLACES = ["", "-wal", "-shm", "-journal", ".lock", ".owner"]


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("suffix", PLACES)
def test_nothing_is_written_through_a_symbolic_link(
    tmp_path: Path, suffix: str, *, there: bool
) -> None:
    folder, target = tmp_path / "folder", tmp_path / "target"
    folder.mkdir()
    if there:
        target.write_bytes(b"precious")
    path = folder / "runs.db"
    link = Path(f"{path}{suffix}")
    link.symlink_to(target)
    for use in (opened, owned_and_left):
        with pytest.raises(StorageError) as refused:
            use(path)
        assert str(refused.value) == wording("storage.link", path=link)
    assert list(folder.iterdir()) == [link]
    assert target.exists() is there
    assert not there or target.read_bytes() == b"precious"


def owned_and_left(path: Path) -> None:
    with own(path):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
@pytest.mark.parametrize("suffix", PLACES)
def test_what_another_user_has_put_there_is_refused(tmp_path: Path, suffix: str) -> None:
    tmp_path.chmod(0o1777)
    path = tmp_path / "runs.db"
    theirs = Path(f"{path}{suffix}")
    theirs.touch(0o666)
    os.chown(theirs, 12345, 12345)
    with pytest.raises(StorageError) as refused, own(path):
        pass
    assert str(refused.value) == wording("storage.another-users", path=theirs)
    assert list(tmp_path.iterdir()) == [theirs]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
@pytest.mark.parametrize("shared", [True, False])
def test_a_lock_that_another_user_holds_is_told_as_such(tmp_path: Path, *, shared: bool) -> None:
    """It keeps nobody from a start in silence, nor is the note that lies beside it believed."""
    tmp_path.chmod(0o1777 if shared else 0o755)
    path = tmp_path / "runs.db"
    lock, note = tmp_path / "runs.db.lock", tmp_path / "runs.db.owner"
    note.write_text(json.dumps({"pid": 1, "url": "http://127.0.0.1:6", "secret": "theirs"}))
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for file in (lock, note):
            os.chown(file, 12345, 12345)
        with pytest.raises(StorageError) as refused, own(path):
            pass
    assert str(refused.value) == wording("storage.another-users", path=lock)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_root_may_open_what_is_a_users(tmp_path: Path) -> None:
    """As `doctor` beside a service: but a note that the user may have written proves nothing."""
    path = tmp_path / "runs.db"
    address = ServerAddress("http://127.0.0.1:6")
    with own(path, address) as ownership:
        ownership.make_database()
        assert (found := read_owner(path))
        assert found.proves("nonce", address.proof("nonce"))
        for file in tmp_path.iterdir():
            os.chown(file, 12345, 12345)
        with pytest.raises(FileOwned) as owned, own(path):
            pass
    assert owned.value.owner == found
    assert owned.value.owner.secret is None


def test_a_note_that_others_can_read_proves_nothing(tmp_path: Path) -> None:
    path, address = tmp_path / "runs.db", ServerAddress("http://127.0.0.1:6")
    with own(path, address):
        (tmp_path / "runs.db.owner").chmod(0o640)
        assert (found := read_owner(path))
        assert not found.proves("nonce", address.proof("nonce"))


def test_a_proof_is_of_one_address_one_nonce_and_one_start() -> None:
    address = ServerAddress("http://127.0.0.1:6")
    owner = Owner(1, address.url, address.secret)
    proof = address.proof("nonce")
    assert owner.proves("nonce", proof)
    assert not owner.proves("another", proof)
    assert not owner.proves("nonce", "")
    assert not owner.proves("nonce", "é")
    assert not Owner(1, "http://127.0.0.1:7", address.secret).proves("nonce", proof)
    assert not Owner(1, address.url, ServerAddress(address.url).secret).proves("nonce", proof)
    assert address.secret not in f"{address!r}{owner!r}{proof}"


@pytest.mark.parametrize("note", ["", "{", "[]", "{}", '{"pid": 1}', '{"pid": 1, "host": "a"}'])
def test_an_owner_whose_note_cannot_be_read_is_another_process(tmp_path: Path, note: str) -> None:
    path = tmp_path / "runs.db"
    with own(path):
        (tmp_path / "runs.db.owner").write_text(note)
        with pytest.raises(FileOwned) as error, own(path):
            pass

    assert error.value.owner is None
    assert str(error.value) == wording("storage.owned", path=path)


def test_a_missing_folder_is_not_made(tmp_path: Path) -> None:
    """It is a mistyped path more often than a wish."""
    path = tmp_path / "missing" / "runs.db"
    with pytest.raises(FileNotFoundError), own(path):
        pass

    assert not list(tmp_path.iterdir())
