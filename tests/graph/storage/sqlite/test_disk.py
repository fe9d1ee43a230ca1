"""What a file costs its disk, who may read it, and a disk that is full."""

import os
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from graph.state import DEFAULT_LIMITS
from graph.state.row import RunRow
from graph.storage.open import back_up, open_storage
from graph.storage.sqlite import maintenance
from graph.storage.sqlite import open as opening
from graph.storage.sqlite.connections import LARGEST_WAL
from graph.storage.sqlite.open import ServerAddress, own
from graph.storage.storage import StorageUnavailable
from tests.support.own_tools.gate_tool import GATE
from tests.support.patience import wait_until
from tests.support.servers.server_process import serving


def row(number: int, size: int = 10) -> RunRow:
    return RunRow(
        run_id=f"r{number}",
        owner="me",
        prompt=f"{number} {'x' * size}",
        limits=DEFAULT_LIMITS,
        created_at=1.5,
    )


def rights(folder: Path) -> dict[str, str]:
    """Who may do what with the files of a folder, as `ls` writes it."""
    return {path.name: stat.filemode(path.stat().st_mode) for path in folder.iterdir()}


@pytest.fixture
def _everything_allowed() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_everything_allowed")
async def test_what_is_written_is_for_this_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with open_storage(
        f"sqlite:///{path}", server=ServerAddress("http://127.0.0.1:1")
    ) as storage:
        await storage.index.accept(row(1))
        back_up(path, tmp_path / "copy.db")
        names = ("runs.db", "runs.db-wal", "runs.db-shm", "runs.db.lock", "runs.db.owner")
        assert rights(tmp_path) == dict.fromkeys([*names, "copy.db"], "-rw-------")


@pytest.mark.usefixtures("_everything_allowed")
async def test_nobody_else_may_read_a_file_before_there_is_anything_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, str]] = []
    connect: Any = sqlite3.connect

    def watched_connect(*arguments: Any, **options: Any) -> Any:
        connection = connect(*arguments, **options)
        seen.append(rights(tmp_path))
        return connection

    monkeypatch.setattr(opening.sqlite3, "connect", watched_connect)
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        await storage.index.accept(row(1))
        back_up(tmp_path / "runs.db", tmp_path / "copy.db")

    assert maintenance.sqlite3.connect is watched_connect
    assert {mode for files in seen for mode in files.values()} == {"-rw-------"}


@pytest.mark.usefixtures("_everything_allowed")
def test_what_an_earlier_version_left_open_is_closed_but_the_database_is_the_users(
    tmp_path: Path,
) -> None:
    for name in ("runs.db", "runs.db.lock", "runs.db.owner"):
        (tmp_path / name).touch(0o666)
    with own(tmp_path / "runs.db"):
        assert rights(tmp_path) == {
            "runs.db": "-rw-rw-rw-",
            "runs.db.lock": "-rw-------",
            "runs.db.owner": "-rw-------",
        }


async def test_the_log_of_writes_comes_back_to_its_size_after_a_long_reading(
    tmp_path: Path,
) -> None:
    path, wal = tmp_path / "runs.db", tmp_path / "runs.db-wal"
    async with open_storage(f"sqlite:///{path}") as storage:
        await storage.index.accept(row(0))
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM runs").fetchall()
            for number in range(1, 60):
                await storage.index.accept(row(number, 50_000))
            grown = wal.stat().st_size
        for _ in range(3):  # as /health does
            await storage.check()
        assert grown > 2 * LARGEST_WAL
        assert wal.stat().st_size <= LARGEST_WAL
        assert len(await storage.index.unsettled()) == 60


async def test_a_file_that_may_not_grow_is_told_once_and_used_again_when_it_may(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite answers as on a full disk."""
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        writer: Any = storage.index._writer  # type: ignore[attr-defined]  # as the disk would be
        pages = writer._connection.execute("PRAGMA page_count").fetchone()[0]
        await writer.write((f"PRAGMA max_page_count = {pages}", ()))
        for number in range(50):
            with pytest.raises(StorageUnavailable) as told, storage.available():
                await storage.index.accept(row(number, 50_000))
            assert told.value.damage is None
        await writer.write(("PRAGMA max_page_count = 1000000", ()))
        await storage.index.accept(row(1))

    words = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert words == ["storage does not answer: database or disk is full"]


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own in a folder. Skips the test where none may be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("nothing may be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill_up(folder: Path) -> Path:
    """Use all that is left of a disk."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return ballast


def test_a_full_disk_is_a_line_a_minute_and_nothing_is_lost(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 8) as disk, serving(disk, tools=GATE) as server:
        before = server.post("add todo milk")
        server.settled(before)
        going = server.post("pass gate one, then add todo bread")
        server.until(going, lambda run: run["status"] == "running")
        ballast = fill_up(disk)
        wait_until(lambda: server.client.post("/runs", json={"prompt": "2 + 2"}).status_code == 503)
        statuses = {
            server.client.post("/runs", json={"prompt": f"add todo {n}"}).status_code
            for n in range(100)
        }
        # Its probe is smaller than a run: the last block of the disk may have room for it.
        wait_until(lambda: server.client.get("/health/ready").status_code == 503)
        ready = server.client.get("/health/ready")
        read = server.client.get(f"/runs/{before}")
        server.open_gate("one")  # the run cannot be stored now
        for _ in range(50):
            server.client.get("/health")
        ballast.unlink()
        wait_until(lambda: server.client.get("/health/ready").status_code == 200)
        after = server.settled(going)
        added = server.settled(server.post("add todo cheese"))
        lines = list(server.lines)

    assert statuses == {503}
    assert (ready.status_code, read.status_code) == (503, 200)
    assert "malformed" not in ready.text
    assert (after["status"], added["status"]) == ("completed", "completed")
    told = [line for line in lines if "storage does not answer" in line]
    assert 1 <= len(told) <= 4  # in as many words as SQLite has for it
    assert not [line for line in lines if "Traceback" in line]
