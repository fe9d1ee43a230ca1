"""Forking a run: what the new one has of the old one, and what it does anew."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from graph.commands.retry import RetryRequest
from graph.commands.seeded import Edits, ForkRejected
from graph.record.events import events
from graph.record.record import Record
from graph.runs.history import CheckpointNotFound
from graph.service import Runs
from graph.state.row import RunRow
from graph.storage.storage import Storage
from tests.support.patience import until
from tests.support.runs.live_runs import Gates, attempts, process, rested, start, told, types
from tests.support.servers.server_process import serving


async def checkpoint(runs: Runs, run_id: str, cursor: int) -> str:
    """The latest checkpoint of a run at which so many steps were done."""
    entries = (await runs.history(run_id, limit=200, owner=None))["checkpoints"]
    return next(one["checkpoint_id"] for one in entries if one["cursor"] == cursor)


async def forked(runs: Runs, run_id: str, done: int, **edits: Any) -> Record:
    """A fork from where so many steps were done, once it has settled."""
    accepted = await runs.fork(
        run_id, await checkpoint(runs, run_id, done), Edits(**edits), owner=None
    )
    assert accepted["status"] == "pending"
    assert accepted["run_id"] != run_id
    return await rested(runs, accepted["run_id"])


async def test_a_fork_goes_on_where_the_checkpoint_is(storage: Storage) -> None:
    """The run that it comes from stays as it was, but for naming the fork."""
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await start(runs, "pass a, then pass b, then pass c")
        before = await rested(runs, run_id)
        fork = await forked(runs, run_id, 1)
        seen = await told(runs, fork["run_id"])
        after = await runs.get(run_id, owner=None)
        point = await checkpoint(runs, run_id, 1)
    assert fork["status"] == "completed"
    assert fork["result"] == before["result"]
    assert gates.calls == {"a": 1, "b": 2, "c": 2}
    assert attempts(fork) == [(1, 1, "ok"), (2, 1, "ok"), (3, 1, "ok")]
    assert fork["forked_from"] == {"run_id": run_id, "checkpoint_id": point}
    assert after == {**before, "forks": [fork["run_id"]]}
    assert types(seen) == [
        "run.queued",
        "run.started",
        "step.started",
        "step.completed",
        "step.started",
        "step.completed",
        "run.completed",
        "end",
    ]
    assert seen[0]["data"]["forked_from"] == fork["forked_from"]


async def test_with_another_plan_only_what_is_the_same_counts_as_done(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await start(runs, "pass a, then pass b")
        await rested(runs, run_id)
        steps = [
            {"tool": "pass", "input": {"label": "a"}, "reasoning": ""},
            {"tool": "pass", "input": {"label": "not {step_1_output}"}, "reasoning": ""},
        ]
        fork = await forked(runs, run_id, 2, steps=steps)
        await told(runs, fork["run_id"])
    assert fork["result"] is not None
    assert fork["result"]["output"] == "not a"
    assert gates.calls == {"a": 1, "b": 1, "not a": 1}


async def test_with_another_prompt_it_is_planned_anew(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await start(runs, "pass a, then pass b")
        await rested(runs, run_id)
        fork = await forked(runs, run_id, 1, prompt="pass c")
        seen = await told(runs, fork["run_id"])
    assert fork["prompt"] == "pass c"
    assert attempts(fork) == [(1, 1, "ok")]
    assert types(seen).count("plan.made") == 1
    assert gates.calls == {"a": 1, "b": 1, "c": 1}


async def test_of_a_failed_run_a_fork_can_be_retried_like_any_run(storage: Storage) -> None:
    async with process(storage, Gates()) as runs:
        run_id = await start(runs, "pass a, then fail b")
        await rested(runs, run_id)
        fork = await forked(runs, run_id, 1)
        assert fork["status"] == "failed"
        await runs.retry(fork["run_id"], RetryRequest(skip=(2,)), by="me", owner=None)
        again = await rested(runs, fork["run_id"])
        await told(runs, fork["run_id"])
    assert again["status"] == "completed"
    assert again["forked_from"] == fork["forked_from"]


async def test_a_fork_can_be_forked_and_a_step_be_done_again(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await start(runs, "pass a, then pass b")
        await rested(runs, run_id)
        fork = await forked(runs, run_id, 2, cursor=0)
        second = await forked(runs, fork["run_id"], 1)
        await told(runs, second["run_id"])
    assert second["status"] == "completed"
    assert gates.calls == {"a": 2, "b": 3}


@pytest.mark.parametrize(
    ("edits", "field"),
    [
        ({"prompt": "  "}, "state.prompt"),
        ({"steps": []}, "state.plan"),
        ({"steps": [{"tool": "none", "input": {}, "reasoning": ""}]}, "state.plan"),
        (
            {"steps": [{"tool": "pass", "input": {"label": "{step_1_output}"}, "reasoning": ""}]},
            "state.plan",
        ),
        ({"cursor": 2}, "state.cursor"),
    ],
)
async def test_an_edited_state_is_checked(
    storage: Storage, edits: dict[str, Any], field: str
) -> None:
    async with process(storage, Gates()) as runs:
        run_id = await start(runs, "pass a, then pass b")
        await rested(runs, run_id)
        with pytest.raises(ForkRejected) as rejected:
            await runs.fork(run_id, await checkpoint(runs, run_id, 1), Edits(**edits), owner=None)
        with pytest.raises(CheckpointNotFound):
            await runs.fork(run_id, "none", Edits(), owner=None)
        assert (await runs.get(run_id, owner=None))["forks"] == []
    assert rejected.value.field == field
    assert len(rejected.value.reasons) == 1


async def test_killed_before_it_is_begun_a_fork_is_begun_by_the_next_process(
    storage: Storage,
) -> None:
    """All of it is in its row until its first checkpoint has it, and then no more."""
    gates = Gates()
    async with process(storage, gates, slots=1, orderly=False) as runs:
        run_id = await start(runs, "pass a, then pass b")
        await rested(runs, run_id)
        await start(runs, "gate c")
        await until(lambda: gates.waiting)
        fork = await runs.fork(run_id, await checkpoint(runs, run_id, 1), Edits(), owner=None)
        before = await told(runs, fork["run_id"])
        row = await found(storage, fork["run_id"])
        assert row.seed is not None
        assert types(events(row.seed)) == ["run.queued"]
    async with process(storage, gates) as runs:
        record = await rested(runs, fork["run_id"])
        seen = await told(runs, fork["run_id"])
        await gates.end_next("c")
    assert before == []
    assert record["status"] == "completed"
    assert gates.calls == {"a": 1, "b": 2, "c": 2}
    assert types(seen)[0] == "run.queued"
    assert (await found(storage, fork["run_id"])).seed is None


async def found(storage: Storage, run_id: str) -> RunRow:
    row = await storage.index.find(run_id)
    assert row is not None
    return row


async def test_a_fork_that_is_cancelled_before_it_is_begun(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates, slots=1) as runs:
        run_id = await start(runs, "pass a, then pass b")
        await rested(runs, run_id)
        await start(runs, "gate c")
        await until(lambda: gates.waiting)
        fork = await runs.fork(run_id, await checkpoint(runs, run_id, 1), Edits(), owner=None)
        record = await runs.cancel(fork["run_id"], by="me", owner=None)
        seen = await told(runs, fork["run_id"])
        gates.end("c")
    assert record["status"] == "cancelled"
    assert types(seen) == ["run.queued", "run.cancelling", "run.cancelled", "end"]


def test_over_http_a_fork_survives_the_death_of_its_server(tmp_path: Path):
    with serving(tmp_path, tools="examples.flaky:sleep", in_flight="1") as server:
        run_id = server.post("add todo milk, then calculate 6 * 7")
        server.settled(run_id)
        page = server.client.get(f"/runs/{run_id}/history").json()["checkpoints"]
        point = next(one["checkpoint_id"] for one in page if one["cursor"] == 1)
        other = server.post("sleep 600 seconds")
        server.until(other, lambda run: run["current"])
        plan = server.get(run_id)["plan"]
        plan["steps"][1]["input"] = {"expression": "6 * 8"}
        body = {"checkpoint_id": point, "state": {"plan": plan}}
        answer = server.client.post(f"/runs/{run_id}/fork", json=body)
        wrong = server.client.post(f"/runs/{run_id}/fork", json={"checkpoint_id": "0"})
        server.kill()
    fork_id = answer.json()["run_id"]
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/runs/{fork_id}"
    assert wrong.status_code == 404
    with serving(tmp_path, tools="examples.flaky:sleep") as server:
        record = server.settled(fork_id)
        origin = server.get(run_id)
        todos = server.settled(server.post("show my list"))["result"]["output"]
        server.client.post(f"/runs/{other}/cancel")
        server.terminate()
    assert record["result"]["output"] == 48
    assert record["forked_from"] == {"run_id": run_id, "checkpoint_id": point}
    assert origin["forks"] == [fork_id]
    assert len(todos) == 1
    with closing(sqlite3.connect(tmp_path / "runs.db")) as file:
        assert file.execute("SELECT count(*) FROM runs WHERE seed IS NOT NULL").fetchone() == (0,)
        orphans = (
            "SELECT count(*) FROM checkpoints WHERE thread_id NOT IN (SELECT run_id FROM runs)"
        )
        assert file.execute(orphans).fetchone() == (0,)
