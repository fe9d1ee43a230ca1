"""The power goes: what was not synced to the disk is gone, and what was told is there."""

import shutil
import sqlite3
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from tests.support.patience import patience
from tests.support.servers.server_process import SERVE, ServerProcess, serving

RUNS, AT_ONCE = 24, 4

NAMES = ("runs.db", "runs.db-wal")


@pytest.fixture
def synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which a server that is started now leaves what each sync has made sure."""
    library, folder = tmp_path / "synced.so", tmp_path / "synced"
    source = ROOT / "tests" / "support" / "databases" / "synced.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    folder.mkdir()
    monkeypatch.setenv("SYNCED", str(folder))
    monkeypatch.setenv("LD_PRELOAD", str(library))
    return folder


def on_disk(synced: Path, moment: int, folder: Path) -> Path:
    """A database with what the disk was sure to have at that moment, and nothing else."""
    folder.mkdir()
    for name in NAMES:
        copies = [
            copy
            for copy in sorted(synced.glob(f"*-{name}"))
            if not copy.name.startswith("under") and int(copy.name.partition("-")[0]) <= moment
        ]
        if copies:
            shutil.copy(copies[-1], folder / name)
    return folder


def statuses(folder: Path) -> dict[str, str]:
    with closing(sqlite3.connect(folder / "runs.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return dict(database.execute("SELECT run_id, status FROM runs").fetchall())


@pytest.mark.slow
@pytest.mark.timeout(patience(600))
def test_what_was_accepted_and_what_was_settled_is_there(tmp_path: Path, synced: Path) -> None:
    """Whenever the power goes; what goes on then ends as if it had not gone."""
    accepted: dict[str, int] = {}
    settled: dict[str, int] = {}

    def one(server: ServerProcess, number: int) -> None:
        run_id = server.post(f"add todo number {number}, then 2 + 2, then add todo next {number}")
        accepted[run_id] = time.monotonic_ns()
        assert server.settled(run_id)["status"] == "completed"
        settled[run_id] = time.monotonic_ns()

    (tmp_path / "server").mkdir()
    with serving(tmp_path / "server", SERVE) as server:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda number: one(server, number), range(RUNS)))
        server.kill()

    moments = sorted([*accepted.values(), *settled.values()])
    assert len(list(synced.iterdir())) > RUNS
    for moment in moments:
        told = statuses(on_disk(synced, moment, tmp_path / f"at {moment}"))
        assert {run for run, at in accepted.items() if at <= moment} <= told.keys()
        assert {told[run] for run, at in settled.items() if at <= moment} <= {"completed"}

    half = moments[len(moments) // 2]
    with serving(on_disk(synced, half, tmp_path / "half")) as server:
        for run_id, at in accepted.items():
            if at <= half:
                assert server.settled(run_id)["status"] == "completed"
        listed = server.settled(server.post("show my list"))["result"]["output"]
    texts = [todo["text"] for todo in listed]
    assert len(texts) == len(set(texts))
    assert len(texts) >= 2 * sum(at <= half for at in accepted.values())
