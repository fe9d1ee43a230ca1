"""A copy of the database: whole, of one moment, and something that a server can go on from."""

import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from api.cli.command import back_up_to
from graph.settings import Settings
from graph.state import DEFAULT_LIMITS
from graph.state.row import RunRow
from graph.storage import open as opening
from graph.storage.open import BackupFailed, back_up, open_storage
from tests.support.own_tools.gate_tool import GATE
from tests.support.patience import patience
from tests.support.runs.orphans import orphans
from tests.support.servers.commands.call import call
from tests.support.servers.server_process import ServerProcess, runwright, serving
from tests.support.wording.messages import wording

FLAKY = "examples.flaky:sleep"


def restored(copy: Path, folder: Path) -> Path:
    """A folder whose database is this copy."""
    folder.mkdir()
    shutil.copy(copy, folder / "runs.db")
    return folder


def sound(copy: Path) -> None:
    with closing(sqlite3.connect(copy)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert orphans(copy) == []


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_server_on_a_copy_that_was_made_while_serving_goes_on_from_it(tmp_path: Path) -> None:
    """It has every run and every to-do, and takes up what had not ended."""
    served, kept = tmp_path / "served", tmp_path / "kept"
    served.mkdir()
    kept.mkdir()
    with serving(served, tools=GATE) as server:
        done = [server.post(f"add todo number {n}") for n in range(5)]
        records = {run_id: server.settled(run_id) for run_id in done}
        made = runwright("backup", str(kept / "copy.db"), folder=served)
        going = server.post("add todo last, then pass gate one, then add todo after")
        server.until(going, lambda run: run["progress"]["done"] == 1)
        back_up(served / "runs.db", kept / "second.db")
        later = server.post("add todo later")
        server.settled(later)
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.startswith(f"{kept / 'copy.db'}: 5 runs, ")
    assert files(kept) == {"copy.db", "second.db"}
    sound(kept / "copy.db")
    sound(kept / "second.db")

    with serving(restored(kept / "second.db", tmp_path / "restored"), tools=GATE) as server:
        server.open_gate("one")
        taken_up = server.settled(going)
        assert same(server, records)
        listing = server.settled(server.post("show my list"))["result"]["output"]
        missing = server.client.get(f"/runs/{later}").status_code
    assert taken_up["status"] == "completed"
    assert [mark["what"] for mark in taken_up["marks"]] == ["taken_up"]
    assert [todo["text"] for todo in listing] == [f"number {n}" for n in range(5)] + [
        "last",
        "after",
    ]
    assert missing == 404


def same(server: ServerProcess, records: dict[str, dict[str, object]]) -> bool:
    """Whether the records are what they were but for the server's clock."""
    return all(
        {**server.get(run_id), "server_time": None} == {**record, "server_time": None}
        for run_id, record in records.items()
    )


@pytest.mark.parametrize(("runs", "told"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs")])
async def test_what_is_in_a_copy_is_counted_in_words(tmp_path: Path, runs: int, told: str) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    async with open_storage(url) as storage:
        for number in range(runs):
            row = RunRow(
                run_id=f"r{number}", owner="me", prompt="a", limits=DEFAULT_LIMITS, created_at=1.0
            )
            await storage.index.accept(row)
    copy = tmp_path / "copy.db"
    line = back_up_to(Settings(database_url=url), str(copy))
    assert line == f"{copy}: {told}, {copy.stat().st_size:,} bytes"


def test_every_copy_that_is_made_under_load_is_of_one_moment(tmp_path: Path) -> None:
    """No run is half in it, and nobody is refused meanwhile."""
    with serving(tmp_path, tools=FLAKY) as server:
        ids: list[str] = []
        over = threading.Event()

        def post() -> None:
            while not over.is_set():
                ids.append(server.post("add todo milk, then add todo bread"))

        posting = threading.Thread(target=post)
        posting.start()
        copies = [tmp_path / f"copy{number}.db" for number in range(5)]
        counts = [back_up(tmp_path / "runs.db", copy).runs for copy in copies]
        over.set()
        posting.join(patience())
        errors = [server.settled(run_id)["error"] for run_id in ids]
        assert errors == [None] * len(ids)
    for copy in copies:
        sound(copy)
    assert counts == sorted(counts)


def test_a_copy_is_made_without_a_server_also_of_what_a_kill_has_left(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        run_id = server.post("add todo milk")
        server.settled(run_id)
        server.kill()
    assert "runs.db-wal" in files(tmp_path)

    assert call("backup", str(tmp_path / "copy.db"), folder=tmp_path).returncode == 0

    with serving(restored(tmp_path / "copy.db", tmp_path / "restored")) as server:
        assert server.get(run_id)["status"] == "completed"


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """Neither a file, nor the database itself, nor a link that leads nowhere."""
    assert call("run", "2 + 2", folder=tmp_path).returncode == 0
    (tmp_path / "there").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("there", "runs.db", "link"):
        before = files(tmp_path)
        refused = call("backup", str(tmp_path / name), folder=tmp_path)
        assert refused.returncode == 2
        assert wording("storage.copy.there", path=tmp_path / name) in refused.stderr
        assert files(tmp_path) == before
    assert (tmp_path / "there").read_text() == "precious"


def test_what_comes_between_is_not_overwritten_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("run", "2 + 2", folder=tmp_path).returncode == 0
    target, copy = tmp_path / "copy.db", opening._copy

    def slowly(source: Path, part: Path) -> int:
        target.write_text("faster")
        return copy(source, part)

    monkeypatch.setattr(opening, "_copy", slowly)
    with pytest.raises(BackupFailed) as refused:
        back_up(tmp_path / "runs.db", target)
    assert str(refused.value) == wording("storage.copy.meanwhile", path=target)
    assert target.read_text() == "faster"
    assert not [name for name in files(tmp_path) if name.startswith(".")]


def test_what_cannot_be_copied_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with closing(sqlite3.connect(other / "runs.db")) as database:
        database.execute("CREATE TABLE notes (text)")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "runs.db").write_text("not a database, but long enough to be one " * 9)
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder, said in (
        (other, wording("storage.copy.is-none", path="runs.db")),
        (tmp_path / "text", "file is not a database"),
        (
            tmp_path / "empty",
            wording("storage.copy.no-database", path=tmp_path / "empty" / "runs.db"),
        ),
    ):
        before = files(folder)
        refused = call("backup", str(folder / "copy.db"), folder=folder)
        assert refused.returncode == 2
        assert said in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
        assert files(folder) == before


def test_a_folder_that_is_not_there_and_a_store_without_a_file_are_told(tmp_path: Path) -> None:
    assert call("run", "2 + 2", folder=tmp_path).returncode == 0
    nowhere = call("backup", str(tmp_path / "no" / "copy.db"), folder=tmp_path)
    memory = call("backup", str(tmp_path / "c"), folder=tmp_path, database_url="memory://")
    assert (nowhere.returncode, memory.returncode) == (2, 2)
    assert wording("storage.copy.no-folder", path=tmp_path / "no") in nowhere.stderr
    assert "RUNWRIGHT_DATABASE_URL" in memory.stderr
