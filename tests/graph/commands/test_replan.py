"""A retry that wants another plan: what was done stays done and is told, and a model plans anew."""

from typing import Any

import pytest

from graph.commands.retry import RetryRejected, RetryRequest, command_of
from graph.commands.seeded import Edits
from graph.record.record import Record
from graph.service import Runs
from graph.storage.storage import Storage
from tests.support.models.rounds import model, passing, round_of_steps, texts
from tests.support.models.scripted_models import outage
from tests.support.patience import patience, until
from tests.support.runs.live_runs import Gates, process, rested, resting, told, types

FAILS = ("fail", {"label": "f"})


async def replanned(runs: Runs, record: Record, **request: Any) -> Record:
    """The record of a run as it rests after a retry with another plan."""
    run_id = record["run_id"]
    await runs.retry(run_id, RetryRequest(**request, replan=True), by="ann", owner=None)
    return await runs.wait(run_id, timeout=patience(), owner=None)


async def approved(runs: Runs, record: Record) -> Record:
    assert record["status"] == "waiting", record["error"]
    await runs.approve(record["run_id"], by="ann", owner=None)
    return await runs.wait(record["run_id"], timeout=patience(), owner=None)


def rounds(record: Record) -> list[tuple[str, str | None, list[int]]]:
    """Why each was planned, what follows, and the steps of it that were dropped."""
    return [
        (entry["why"], entry["then"], [step["step"] for step in entry["dropped"]])
        for entry in record["plan"]["rounds"]
    ]


async def test_all_that_is_left_is_dropped_and_planned_anew(storage: Storage) -> None:
    gates = Gates()
    script = [
        round_of_steps(("pass", {"label": "a"}), FAILS, ("pass", {"label": "{step_2_output}"})),
        passing("{step_2_output}"),
        passing("{step_1_output}"),
    ]
    async with process(storage, gates, only := model(*script)) as runs:
        record = await replanned(runs, await resting(runs))
        # The dropped step had an effect, so that a person is asked although the run never asks.
        assert record["approval"] is not None
        assert record["status"] == "waiting"
        assert gates.calls == {"a": 1, "f": 1}
        record = await approved(runs, record)

        assert record["status"] == "completed", record["error"]
        assert gates.calls == {"a": 2, "f": 1}
        assert rounds(record) == [("first", "look", [2, 3]), ("replan", "done", [])]
        assert [step["step"] for step in record["plan"]["steps"]] == [1, 2, 3, 4]
        assert record["result"] is not None
        assert record["result"]["summary"].startswith("2 steps done, 1 failed, 1 dropped;")
        [mark] = [mark for mark in record["marks"] if mark["what"] == "retry"]
        assert mark["retry"]["replan"] == [2, 3]
        assert mark["detail"] == "from step 2 of 3, planned anew"
        happened = await told(runs, record["run_id"])
        made = [event["data"] for event in happened if event["type"] == "plan.made"]
        assert [(one["round"], one["then"]) for one in made] == [(1, "done"), (2, "done")]
    asked = texts(only.calls[1].messages)[-1]
    assert "A person wants another plan. Step 2 is dropped; it has failed." in asked
    assert "Step 3 is dropped; it was not done." in asked
    # A reference to what is dropped was rejected, and repaired.
    assert [entry["outcome"] for entry in record["planning_log"]] == [
        "planned",
        "rejected",
        "planned",
    ]


async def test_later_rounds_are_dropped_and_what_they_did_is_told(storage: Storage) -> None:
    gates = Gates()
    script = [
        passing("a", then="look"),
        passing("b", then="look"),
        round_of_steps(then="refuse"),
        passing("c"),
    ]
    async with process(storage, gates, only := model(*script)) as runs:
        record = await resting(runs)
        assert record["status"] == "failed"
        record = await replanned(runs, record, from_step=1)
        assert record["status"] == "waiting"
        record = await approved(runs, record)

        assert record["status"] == "completed", record["error"]
        assert gates.calls == {"a": 2, "b": 1, "c": 1}
        assert rounds(record) == [
            ("first", "look", []),
            ("look", "look", [2]),
            ("look", "refuse", []),
            ("replan", "done", []),
        ]
        await told(runs, record["run_id"])
    last = texts(only.calls[-1].messages)[-1]
    assert "Step 2 is dropped; it was done, and what it did stays done." in last
    assert '<output step="2" tool="pass">' in last


async def test_the_last_round_is_executed_again_and_then_looked_at(storage: Storage) -> None:
    gates = Gates()
    script = [passing("a", then="look"), round_of_steps(FAILS), passing("c")]
    async with process(storage, gates, model(*script)) as runs:
        record = await resting(runs)
        record = await replanned(runs, record, from_step=2, skip=(2,))

        assert (record["status"], gates.calls) == ("completed", {"a": 1, "f": 1, "c": 1})
        assert rounds(record)[-1] == ("replan", "done", [])
        await told(runs, record["run_id"])


async def test_a_model_that_finds_nothing_to_do_instead_of_what_failed_has_given_up(
    storage: Storage,
) -> None:
    script = [round_of_steps(FAILS), round_of_steps(), passing("b")]
    async with process(storage, Gates(), model(*script)) as runs:
        record = await replanned(runs, await resting(runs))
        assert record["error"] is not None
        assert (record["error"]["type"], record["error"].get("reason")) == ("incomplete", "gave_up")

        # A plain retry goes on with what was asked for, and asks as that would have.
        await runs.retry(record["run_id"], RetryRequest(), by="ann", owner=None)
        record = await runs.wait(record["run_id"], timeout=patience(), owner=None)
        record = await approved(runs, record)
        assert record["status"] == "completed"
        assert [why for why, *_ in rounds(record)] == ["first", "replan", "replan"]
        await told(runs, record["run_id"])


async def test_a_new_plan_that_was_rejected_is_asked_about_again(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates, model(round_of_steps(FAILS), passing("b"))) as runs:
        record = await replanned(runs, await resting(runs))
        run_id = record["run_id"]
        await runs.reject(run_id, by="bob", owner=None)
        assert (await rested(runs, run_id))["status"] == "cancelled"
        await runs.retry(run_id, RetryRequest(), by="ann", owner=None)
        record = await runs.wait(run_id, timeout=patience(), owner=None)
        assert record["status"] == "waiting"
        assert gates.calls == {"f": 1}
        record = await approved(runs, record)

        assert (record["status"], gates.calls) == ("completed", {"f": 1, "b": 1})
        assert types(await told(runs, run_id)).count("run.waiting") == 2


async def test_models_that_fail_leave_what_was_done(storage: Storage) -> None:
    script = [round_of_steps(FAILS), outage(), outage()]
    async with process(storage, Gates(), model(*script)) as runs:
        record = await replanned(runs, await resting(runs, "pass a"))
        assert record["error"] is not None
        assert (record["error"]["type"], record["error"].get("reason")) == ("incomplete", "models")
        await told(runs, record["run_id"])


async def test_a_plan_of_patterns_is_planned_anew_by_a_model(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates) as runs:
        record = await resting(runs, "pass a and then fail f and then pass c")
        assert record["planned_by"] is not None
        assert record["planned_by"]["source"] == "pattern"
        with pytest.raises(RetryRejected, match="none is configured"):
            await replanned(runs, record)
    async with process(storage, gates, model(passing("d"))) as runs:
        record = await approved(runs, await replanned(runs, record))

        assert (record["status"], gates.calls) == ("completed", {"a": 1, "f": 1, "d": 1})
        assert rounds(record) == [("first", "look", [2, 3]), ("replan", "done", [])]
        await told(runs, record["run_id"])


async def test_a_run_without_a_plan_is_planned_again(storage: Storage) -> None:
    script = [outage(), outage(), passing("a")]
    async with process(storage, Gates(), model(*script)) as runs:
        record = await resting(runs, "nothing that patterns know")
        assert record["plan"]["steps"] == []
        record = await replanned(runs, record)
        assert (record["status"], rounds(record)) == ("completed", [("first", "done", [])])


async def test_an_input_needs_the_step_that_is_executed_again(storage: Storage) -> None:
    gates = Gates()
    script = [round_of_steps(("pass", {"label": "a"}), FAILS), passing("b")]
    async with process(storage, gates, model(*script)) as runs:
        record = await resting(runs)
        with pytest.raises(RetryRejected, match="from_step"):
            await replanned(runs, record, input={"label": "g"})
        record = await replanned(runs, record, from_step=1, input={"label": "c"}, skip=(2,))

        assert record["status"] == "completed"
        assert gates.calls == {"a": 1, "f": 1, "c": 1, "b": 1}
        await told(runs, record["run_id"])


async def test_a_mended_run_is_planned_anew(storage: Storage) -> None:
    """What the mend was made instead of stays dropped, and is not asked about."""
    gates = Gates()
    unknown = ("pass", {"label": "{step_1_output.none}"})
    script = [
        round_of_steps(("pass", {"label": "a"}), unknown),
        round_of_steps(("pass", {"label": "b"}), FAILS),
        passing("c"),
    ]
    async with process(storage, gates, model(*script)) as runs:
        record = await resting(runs)
        assert rounds(record)[0] == ("first", "done", [2])
        record = await approved(runs, await replanned(runs, record))

        assert (record["status"], gates.calls) == ("completed", {"a": 1, "b": 1, "f": 1, "c": 1})
        assert rounds(record) == [
            ("first", "done", [2]),
            ("mend", "look", [4]),
            ("replan", "done", []),
        ]
        await told(runs, record["run_id"])


async def test_a_fork_before_the_new_plan_does_not_execute_what_is_dropped(
    storage: Storage,
) -> None:
    gates = Gates()
    script = [
        passing("a", "b", then="look"),
        passing("c", then="look"),
        round_of_steps(then="refuse"),
    ]
    async with process(storage, gates, model(*script, passing("d"), passing("e"))) as runs:
        record = await replanned(runs, await resting(runs), from_step=1)
        run_id = record["run_id"]
        page = await runs.history(run_id, owner=None, limit=100)
        middle = next(one for one in page["checkpoints"] if one["cursor"] == 1)
        fork = await runs.fork(run_id, middle["checkpoint_id"], Edits(), owner=None)
        record = await runs.wait(fork["run_id"], timeout=patience(), owner=None)

        assert record["status"] == "completed", record["error"]
        assert gates.calls["c"] == 1
        await told(runs, record["run_id"])


async def test_a_step_in_doubt_is_dropped_and_a_person_is_asked(storage: Storage) -> None:
    gates = Gates()
    script = [round_of_steps(("gate", {"label": "a"})), passing("b")]
    async with process(storage, gates, model(*script)) as runs:
        run_id = (await runs.start("do it"))["run_id"]
        await until(lambda: "a" in gates.waiting)
        await runs.cancel(run_id, by="ann", owner=None)
        record = await rested(runs, run_id)
        assert record["execution_log"][-1]["may_have_acted"]
        record = await replanned(runs, record)
        assert record["status"] == "waiting"
        record = await approved(runs, record)
        assert (record["status"], gates.calls) == ("completed", {"a": 1, "b": 1})
        await told(runs, run_id)


async def test_nothing_is_asked_where_what_is_dropped_changed_nothing(storage: Storage) -> None:
    gates = Gates()
    script = [passing("a", then="look"), outage(), outage(), passing("b")]
    async with process(storage, gates, model(*script)) as runs:
        record = await replanned(runs, await resting(runs))
        assert (record["status"], gates.calls) == ("completed", {"a": 1, "b": 1})
        assert rounds(record)[-1][0] == "replan"
        await told(runs, record["run_id"])


async def test_another_plan_that_was_asked_for_is_made_after_a_kill(storage: Storage) -> None:
    """The order is on disk before anything is done about it."""
    gates = Gates()
    async with process(storage, gates, model(passing("a", then="look"), *[outage()] * 2)) as runs:
        run_id = (await resting(runs))["run_id"]
        state = await runs._reader.state(run_id)
        asked = command_of(state, RetryRequest(from_step=1, replan=True), gates.tools, by="ann")
        assert await storage.index.request_retry(run_id, asked)
    async with process(storage, gates, model(passing("b"))) as runs:
        record = await rested(runs, run_id)

        assert (record["status"], gates.calls) == ("completed", {"a": 2, "b": 1})
        assert rounds(record)[-1] == ("replan", "done", [])
        await told(runs, run_id)
