"""The history of a run: what was stored of it, when, and what that has changed."""

from pathlib import Path

import pytest

from api.views import CheckpointDetail, History
from graph.commands.retry import RetryRequest
from graph.runs.context import RunNotFound
from graph.runs.history import CheckpointNotFound
from graph.storage.storage import Storage
from tests.support.patience import until
from tests.support.runs.live_runs import Gates, process, rested, start
from tests.support.servers.documented import documented
from tests.support.servers.server_process import serving


async def test_every_checkpoint_tells_its_node_and_what_it_changed(storage: Storage) -> None:
    async with process(storage, Gates()) as runs:
        run_id = await start(runs, "pass a, then fail b")
        await rested(runs, run_id)
        page = await runs.history(run_id, limit=50, owner=None)
    entries = page["checkpoints"]
    assert page["before"] is None
    assert [entry["node"] for entry in reversed(entries)] == [
        "plan",
        "fallback_plan",
        "execute_step",
        "execute_step",
        "finalize",
    ]
    assert entries[0]["status"] == "failed"
    assert entries[0]["changed"] == ["completed_at", "status"]
    assert entries[0]["next"] == []
    assert entries[2]["cursor"] == 1
    assert entries[2]["logged"] == [
        {"kind": "attempt", "step": 1, "attempt": 1, "status": "ok", "what": None}
    ]
    times = [entry["at"] for entry in entries]
    assert times == sorted(times, reverse=True)


async def test_pages_follow_each_other_without_a_gap(storage: Storage) -> None:
    async with process(storage, Gates()) as runs:
        run_id = await start(runs, "pass a, then pass b, then pass c")
        await rested(runs, run_id)
        whole = (await runs.history(run_id, limit=50, owner=None))["checkpoints"]
        parts, before = [], None
        while True:
            page = await runs.history(run_id, limit=2, before=before, owner=None)
            assert len(page["checkpoints"]) <= 2
            parts += page["checkpoints"]
            before = page["before"]
            if before is None:
                break
    assert parts == whole


async def test_a_page_of_a_long_run_reads_each_checkpoint_once(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its log is not put together from the first step on again for each of them."""
    loaded: list[object] = []
    load = storage.reader.serde.loads_typed

    def counted(data: tuple[str, bytes]) -> object:
        loaded.append(data)
        return load(data)

    steps = 70
    async with process(storage, Gates()) as runs:
        run_id = await start(runs, ", then ".join(f"pass {n}" for n in range(steps)))
        await rested(runs, run_id)
        monkeypatch.setattr(storage.reader.serde, "loads_typed", counted)
        whole = (await runs.history(run_id, limit=200, owner=None))["checkpoints"]
        count = len(loaded)
        parts = (await runs.history(run_id, limit=9, owner=None))["checkpoints"]
    logged = [entry["step"] for one in reversed(whole) for entry in one["logged"]]
    assert logged == list(range(1, steps + 1))
    assert parts == whole[:9]
    # A checkpoint and the writes that follow it.
    assert count < 8 * len(whole)


async def test_a_retry_is_part_of_the_history(storage: Storage) -> None:
    """It is written by no node, and what was before it can still be read."""
    async with process(storage, Gates()) as runs:
        run_id = await start(runs, "pass a, then fail b")
        failed = await rested(runs, run_id)
        end = (await runs.history(run_id, limit=1, owner=None))["checkpoints"][0]
        await runs.retry(run_id, RetryRequest(skip=(2,)), by="me", owner=None)
        await rested(runs, run_id)
        entries = (await runs.history(run_id, limit=50, owner=None))["checkpoints"]
        then = await runs.checkpoint(run_id, end["checkpoint_id"], owner=None)
    (retried,) = [
        entry for entry in entries if entry["logged"][:1] and entry["status"] == "pending"
    ]
    assert retried["node"] is None
    assert retried["logged"][0]["what"] == "retry"
    assert then["entry"] == end
    assert then["state"] is not None
    assert then["state"]["error"] == failed["error"]


async def test_a_run_that_was_not_begun_has_none_yet(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates, slots=1) as runs:
        await start(runs, "gate a")
        run_id = await start(runs, "pass b")
        await until(lambda: gates.waiting)
        assert await runs.history(run_id, limit=5, owner=None) == {
            "checkpoints": [],
            "before": None,
        }
        gates.end("a")


async def test_what_is_not_there_is_not_found(storage: Storage) -> None:
    async with process(storage, Gates()) as runs:
        run_id, other = await start(runs, "pass a"), await start(runs, "pass b")
        await rested(runs, run_id)
        await rested(runs, other)
        foreign = (await runs.history(other, limit=1, owner=None))["checkpoints"][0][
            "checkpoint_id"
        ]
        for checkpoint_id in ("none", foreign):
            with pytest.raises(CheckpointNotFound):
                await runs.checkpoint(run_id, checkpoint_id, owner=None)
            with pytest.raises(CheckpointNotFound):
                await runs.history(run_id, limit=1, before=checkpoint_id, owner=None)
        with pytest.raises(RunNotFound):
            await runs.history("none", limit=1, owner=None)


def test_over_http_it_is_as_documented(tmp_path: Path):
    with serving(tmp_path) as server:
        run_id = server.post("calculate 6 * 7")
        record = server.settled(run_id)
        page = server.client.get(f"/runs/{run_id}/history", params={"limit": 2})
        found = documented(History, page.content)
        path = f"/runs/{run_id}/history/{found['checkpoints'][0]['checkpoint_id']}"
        answer = server.client.get(path)
        missing = server.client.get(f"/runs/{run_id}/history/none")
        too_many = server.client.get(f"/runs/{run_id}/history", params={"limit": 1000})

    detail = documented(CheckpointDetail, answer.content)
    assert found["before"] == found["checkpoints"][-1]["checkpoint_id"]
    assert detail["run"]["status"] == "completed"
    assert answer.json()["run"]["result"] == record["result"]
    assert missing.status_code == 404
    assert missing.json()["type"] == "urn:runwright:problem:checkpoint-not-found"
    assert too_many.status_code == 400
