"""What a person may ask of a run with several rounds: approve, edit, reject, retry and fork."""

from typing import Any

import pytest

from graph.commands.retry import RetryRejected, RetryRequest
from graph.commands.seeded import Edits, ForkRejected
from graph.record.record import Record
from graph.service import Runs
from graph.storage.storage import Storage
from tests.support.models.rounds import model, passing, round_of_steps
from tests.support.patience import patience
from tests.support.runs.live_runs import Gates, process, rested, resting, told, types


async def approved(runs: Runs, run_id: str, plan: object = None) -> Record:
    """The record of a waiting run once it rests after the approval."""
    await runs.approve(run_id, by="ann", owner=None, plan=plan)
    return await runs.wait(run_id, timeout=patience(), owner=None)


async def retried(runs: Runs, run_id: str, **request: Any) -> Record:
    await runs.retry(run_id, RetryRequest(**request), by="ann", owner=None)
    return await runs.wait(run_id, timeout=patience(), owner=None)


def asked(record: Record) -> list[int]:
    """The steps that a waiting run asks about."""
    assert record["status"] == "waiting", record["error"]
    assert record["approval"] is not None
    return [number for tool in record["approval"]["tools"] for number in tool["steps"]]


async def test_each_round_is_asked_about_and_a_yes_to_one_is_none_to_the_next(
    storage: Storage,
) -> None:
    gates = Gates()
    async with process(storage, gates, model(passing("a", then="look"), passing("b"))) as runs:
        record = await resting(runs, approve="always")
        run_id = record["run_id"]
        assert asked(record) == [1]
        assert asked(await approved(runs, run_id)) == [2]
        await runs.reject(run_id, by="bob", owner=None)
        assert (await rested(runs, run_id))["status"] == "cancelled"
        assert gates.calls == {"a": 1}

        assert asked(await retried(runs, run_id)) == [2]
        record = await approved(runs, run_id)
        assert (record["status"], gates.calls) == ("completed", {"a": 1, "b": 1})
        assert types(await told(runs, run_id)).count("run.waiting") == 3


async def test_what_was_asked_at_the_beginning_of_a_retry_stays_told(storage: Storage) -> None:
    """Also once a later round has asked."""
    script = [passing("a", then="look"), passing("b", then="look"), passing("c")]
    async with process(storage, Gates(), model(*script)) as runs:
        run_id = (await resting(runs, approve="always"))["run_id"]
        await approved(runs, run_id)
        await runs.reject(run_id, by="bob", owner=None)
        await rested(runs, run_id)
        assert asked(await retried(runs, run_id)) == [2]
        assert asked(await approved(runs, run_id)) == [3]
        await runs.reject(run_id, by="bob", owner=None)
        await rested(runs, run_id)
        assert asked(await retried(runs, run_id)) == [3]
        assert (await approved(runs, run_id))["status"] == "completed"
        waits = [one for one in await told(runs, run_id) if one["type"] == "run.waiting"]

    steps = [[*tool["steps"]] for one in waits for tool in one["data"]["tools"]]
    assert steps == [[1], [2], [2], [3], [3]]


async def test_an_edit_replaces_the_steps_of_the_round_that_is_asked_about(
    storage: Storage,
) -> None:
    gates = Gates()
    script = [passing("a", then="look"), passing("b", "c", then="look")]
    async with process(storage, gates, model(*script)) as runs:
        run_id = (await resting(runs, approve="always"))["run_id"]
        await approved(runs, run_id)
        plan = {"steps": [{"tool": "pass", "input": {"label": "d"}}]}
        record = await approved(runs, run_id, plan)

        assert (record["status"], gates.calls) == ("completed", {"a": 1, "d": 1})
        assert [step["step"] for step in record["plan"]["steps"]] == [1, 2]
        _, second = record["plan"]["rounds"]
        assert second["then"] == "done"
        assert second["proposed"] is not None
        assert [step["input"]["label"] for step in second["proposed"]] == ["b", "c"]
        made = [event for event in await told(runs, run_id) if event["type"] == "plan.made"]
        assert [len(event["data"]["steps"]) for event in made] == [1, 2]


async def test_a_retry_goes_on_with_the_look(storage: Storage) -> None:
    gates = Gates()
    script = [passing("a", then="look"), round_of_steps(then="refuse"), passing("b")]
    async with process(storage, gates, model(*script)) as runs:
        record = await resting(runs)
        assert record["error"] is not None
        assert record["error"]["type"] == "incomplete"
        record = await retried(runs, record["run_id"])

        assert (record["status"], gates.calls) == ("completed", {"a": 1, "b": 1})
        rounds = [(entry["round"], entry["then"]) for entry in record["plan"]["rounds"]]
        assert rounds == [(1, "look"), (2, "refuse"), (3, "done")]
        await told(runs, record["run_id"])


async def test_a_retry_from_a_step_executes_all_rounds_again_and_asks_no_model(
    storage: Storage,
) -> None:
    gates = Gates()
    script = [
        passing("a", then="look"),
        round_of_steps(("fail", {"label": "b"})),
    ]
    async with process(storage, gates, only := model(*script)) as runs:
        record = await resting(runs)
        assert record["error"] is not None
        assert (record["error"]["type"], record["error"]["step"]) == ("step_failed", 2)
        record = await retried(runs, record["run_id"], from_step=1)

        assert gates.calls["a"] == 2
        assert len(only.calls) == 2
        assert [entry["why"] for entry in record["plan"]["rounds"]] == ["first", "look"]
        await told(runs, record["run_id"])


async def test_a_step_that_may_have_acted_is_not_mended(storage: Storage) -> None:
    """A tool that does not say that it is idempotent may have done something before it failed."""
    script = [round_of_steps(("fail", {"label": "a"}))]
    async with process(storage, Gates(), only := model(*script)) as runs:
        record = await resting(runs)

    assert record["execution_log"][-1]["may_have_acted"]
    assert (record["status"], len(only.calls)) == ("failed", 1)


async def test_a_dropped_step_is_none_to_begin_with(storage: Storage) -> None:
    script = [
        round_of_steps(("pass", {"label": "a"}), ("pass", {"label": "{step_1_output.none}"})),
        round_of_steps(("pass", {"label": "{step_1_output.nothing}"})),
    ]
    async with process(storage, Gates(), model(*script)) as runs:
        record = await resting(runs)
        assert [step["step"] for step in record["plan"]["rounds"][0]["dropped"]] == [2]
        with pytest.raises(RetryRejected):
            await runs.retry(record["run_id"], RetryRequest(from_step=2), by="a", owner=None)


async def test_a_fork_keeps_the_rounds_and_looks_where_one_is_due(storage: Storage) -> None:
    gates = Gates()
    script = [passing("a", then="look"), passing("b"), passing("c")]
    async with process(storage, gates, model(*script)) as runs:
        run_id = (await resting(runs))["run_id"]
        page = await runs.history(run_id, owner=None, limit=100)
        due = next(
            one
            for one in page["checkpoints"]
            if one["next"] == ["plan"] and one["round"] == 2 and one["cursor"] == 1
        )
        fork = await runs.fork(run_id, due["checkpoint_id"], Edits(), owner=None)
        record = await rested(runs, fork["run_id"])

        assert (record["status"], gates.calls) == ("completed", {"a": 1, "b": 1, "c": 1})
        assert [entry["then"] for entry in record["plan"]["rounds"]] == ["look", "done"]
        await told(runs, fork["run_id"])
        checkpoint = due["checkpoint_id"]
    async with process(storage, gates) as runs:  # without models
        with pytest.raises(ForkRejected):
            await runs.fork(run_id, checkpoint, Edits(), owner=None)
