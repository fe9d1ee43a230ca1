"""The life of a run, over every backend."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from langgraph.graph import END, START, StateGraph

from graph.build import build_graph
from graph.compose import open_runs, open_tools
from graph.queue.executor import Executor, NotAccepting, QueueFull
from graph.record.record import Record
from graph.runs.accept import RunPolicy
from graph.runs.context import RunNotFound, make_context
from graph.service import PromptRejected, Runs
from graph.settings import Settings
from graph.state import DEFAULT_LIMITS, Channels, RunState
from graph.storage.open import open_storage
from graph.storage.search import Search
from graph.storage.storage import RunIndex, Storage, StorageUnavailable
from nodes.plan import prompt_error
from tests.support.patience import patience, until
from tests.support.runs.live_runs import Gates, process, rested, start
from tests.support.wording.messages import wording
from tools.registry import tool

FLAKY = ("examples.flaky:fail_times", "examples.flaky:sleep")


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Settings for each backend, with tools that fail and wait."""
    return Settings(database_url=database_url, tools=FLAKY, backoff=0.02)


@pytest.fixture
async def runs(settings: Settings) -> AsyncIterator[Runs]:
    async with open_runs(settings) as opened:
        yield opened


async def settled(runs: Runs, run_id: str) -> Record:
    record = await runs.wait(run_id, timeout=patience(), owner="default")
    assert record["status"] in ("completed", "failed"), record
    return record


async def done(runs: Runs, prompt: str) -> Record:
    return await settled(runs, (await runs.start(prompt))["run_id"])


async def test_a_run_is_accepted_executed_and_recorded(runs: Runs) -> None:
    """The record has everything: the plan, each attempt, the result, the times in order."""
    accepted = await runs.start("add todo milk, then show my list")
    assert accepted["status"] == "pending"
    record = await settled(runs, accepted["run_id"])
    assert record["status"] == "completed"
    assert [step["tool"] for step in record["plan"]["steps"]] == [
        "todo_store.add",
        "todo_store.list",
    ]
    assert [entry["status"] for entry in record["execution_log"]] == ["ok", "ok"]
    assert record["result"] is not None
    assert record["result"]["output"][0]["text"] == "milk"
    assert record["planned_by"] is not None
    assert record["planned_by"]["reason"] == wording("runs.planned-by.no-model")
    assert record["started_at"] is not None
    assert record["completed_at"] is not None
    assert record["created_at"] <= record["started_at"] <= record["completed_at"]


async def test_a_retried_step_leaves_a_record_of_each_attempt(runs: Runs) -> None:
    """With the time at which the next one was due, which it kept."""
    record = await done(runs, "fail 2 times")
    log = record["execution_log"]
    assert [(entry["attempt"], entry["status"]) for entry in log] == [
        (1, "error"),
        (2, "error"),
        (3, "ok"),
    ]
    assert log[0]["retry_at"] <= log[1]["started_at"]
    assert record["result"] is not None
    assert record["result"]["output"] == {"attempts": 3}


async def test_a_step_that_keeps_failing_fails_the_run(runs: Runs) -> None:
    """After the attempts it has, the error says which step and why."""
    record = await done(runs, "fail 9 times, then add todo never")
    assert record["status"] == "failed"
    assert record["error"] is not None
    assert (record["error"]["type"], record["error"]["step"]) == ("step_failed", 1)
    assert len(record["execution_log"]) == 3
    assert record["result"] is None


async def test_a_final_error_is_not_tried_again(runs: Runs) -> None:
    """A division by zero is one tomorrow as well."""
    record = await done(runs, "calculate 10 / 0")
    assert record["status"] == "failed"
    assert len(record["execution_log"]) == 1
    assert record["error"] is not None
    assert "zero" in record["error"]["message"]


async def test_a_refused_prompt_does_nothing_at_all(runs: Runs) -> None:
    """Not even the part that was understood."""
    record = await done(runs, "what's the capital of France, and add a todo to visit it")
    assert record["status"] == "failed"
    assert record["error"] is not None
    assert record["error"]["type"] == "not_understood"
    assert [part["text"] for part in record["error"]["unparsed"]] == [
        "what's the capital of France"
    ]
    assert record["error"]["examples"]
    assert (await done(runs, "show my list"))["result"] == {
        "output": [],
        "summary": "1 step done; 0 to-dos",
        "answer": None,
    }


async def test_a_plan_with_too_many_steps_is_rejected_and_kept(settings: Settings) -> None:
    """Before anything is executed, with the exact reason."""
    async with open_runs(settings.model_copy(update={"max_steps": 2})) as runs:
        record = await done(runs, "add 3 tasks: eggs, bread, and butter")
    assert record["error"] is not None
    assert record["error"]["type"] == "plan_rejected"
    assert record["error"]["message"] == wording("plans.steps", steps=3, most=2)
    assert record["error"]["rejected_plan"] is not None
    assert len(record["error"]["rejected_plan"]["steps"]) == 3
    assert record["execution_log"] == []


async def test_the_attempt_under_way_can_be_seen(runs: Runs) -> None:
    """A reader sees the plan and the current step while the step is being done."""
    run_id = (await runs.start("sleep 3600 seconds"))["run_id"]

    async def current() -> Record | None:
        record = await runs.get(run_id, owner="default")
        return record if record["current"] else None

    record = await until(current)
    assert record
    assert record["current"] == {"step": 1, "attempt": 1, "not_before": None}
    assert record["status"] == "running"
    listed = (await runs.search("default", Search()))["runs"]
    assert [(run["run_id"], run["status"]) for run in listed] == [(run_id, "running")]
    await runs.cancel(run_id, by="me", owner="default")


async def test_a_run_that_has_only_just_begun_is_read_without_the_storage(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever posts a run and waits for it reads it at that moment."""
    asked: list[str] = []
    reading = asyncio.current_task()

    def noting(name: str, call: Any) -> Any:
        def noted(*arguments: Any) -> Any:
            if asyncio.current_task() is reading:
                asked.append(name)
            return call(*arguments)

        return noted

    for part, name in ((storage.index, "owned"), (storage.reader, "aget_tuple")):
        monkeypatch.setattr(part, name, noting(name, getattr(part, name)))
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await start(runs, "gate a")
        statuses = []
        while not gates.waiting:
            statuses.append((await runs.get(run_id, owner="default"))["status"])
            await asyncio.sleep(0)
        gates.end("a")
        await rested(runs, run_id)
    assert statuses[0] == "pending"
    assert asked == []


async def test_the_newest_runs_come_first(runs: Runs) -> None:
    """At most as many as asked for."""
    ids = [(await done(runs, f"{number} + 1"))["run_id"] for number in range(4)]
    assert [
        run["run_id"] for run in (await runs.search("default", Search(limit=3)))["runs"]
    ] == ids[:0:-1]


@pytest.mark.parametrize("prompt", ["", " \n\t ", "x" * 20_001, "add todo \0", "add todo \ud800"])
async def test_a_prompt_that_cannot_be_run_is_not_accepted(runs: Runs, prompt: str) -> None:
    """It leaves no run behind."""
    with pytest.raises(PromptRejected) as refused:
        await runs.start(prompt)
    assert str(refused.value) == prompt_error(prompt, 20_000)
    assert (await runs.search("default", Search()))["runs"] == []


@pytest.mark.parametrize("run_id", ["", "1", "../etc", "00000000-0000-4000-8000-000000000000"])
async def test_an_unknown_run_is_not_found(runs: Runs, run_id: str) -> None:
    """Whatever its id looks like."""
    with pytest.raises(RunNotFound):
        await runs.get(run_id, owner="default")


async def test_a_queued_run_tells_its_place(settings: Settings) -> None:
    """It is pending, and more than the queue holds are not accepted."""
    async with open_runs(settings.model_copy(update={"in_flight": 1, "max_queued": 2})) as runs:
        before = [(await runs.start("sleep 3600 seconds"))["run_id"] for _ in range(2)]
        last = await runs.start("1 + 1")
        assert (last["status"], last["queue_position"]) == ("pending", 2)
        assert (await runs.get(last["run_id"], owner="default"))["queue_position"] == 2
        with pytest.raises(QueueFull):
            await runs.start("2 + 2")
        for run_id in before:
            await runs.cancel(run_id, by="me", owner="default")
        assert (await settled(runs, last["run_id"]))["status"] == "completed"


async def test_a_run_in_its_backoff_holds_no_slot(settings: Settings) -> None:
    """Another one is done while it waits."""
    async with open_runs(settings.model_copy(update={"max_executing": 1, "backoff": 600})) as runs:
        waiting = (await runs.start("fail 1 times"))["run_id"]
        other = await done(runs, "2 + 2")

        async def waits() -> bool:
            current = (await runs.get(waiting, owner="default"))["current"]
            return current is not None and current["not_before"] is not None

        await until(waits)
        await runs.retry_now(waiting, owner="default")
        record = await settled(runs, waiting)
    assert other["status"] == "completed"
    assert other["completed_at"] is not None
    assert other["completed_at"] < record["execution_log"][0]["retry_at"]


async def test_nothing_is_accepted_at_the_end(settings: Settings) -> None:
    """A run that nobody will execute must not be promised."""
    async with open_runs(settings) as runs:
        pass
    with pytest.raises(NotAccepting):
        await runs.start("2 + 2")


async def test_what_was_left_at_the_end_is_done_by_the_next_process(tmp_path: Path) -> None:
    """Queued and running alike."""
    settings = Settings(
        database_url=f"sqlite:///{tmp_path}/runs.db", tools=FLAKY, max_executing=1, grace=0.1
    )
    async with open_runs(settings) as runs:
        ids = [(await runs.start(f"sleep 0.3 seconds, then {n} + 1"))["run_id"] for n in range(3)]
    async with open_runs(settings) as runs:
        records = [await settled(runs, run_id) for run_id in ids]
    assert {record["status"] for record in records} == {"completed"}


async def test_a_run_whose_graph_breaks_is_settled_as_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A bug of ours ends the run, names itself in the log only, and spares the others."""

    async def broken(state: RunState) -> dict[str, Any]:
        raise KeyError("secret detail")

    async def finalize(state: RunState) -> dict[str, Any]:
        return {}

    builder = StateGraph(Channels)
    builder.add_node("plan", broken)
    builder.add_node("finalize", finalize)
    builder.add_edge(START, "plan")
    builder.add_edge("plan", "finalize")
    builder.add_edge("finalize", END)
    async with open_storage("memory://") as storage:
        graph = builder.compile(checkpointer=storage.saver)
        executor = Executor(slots=1, max_queued=9)
        runs = Runs(make_context(graph, storage, executor, {}), RunPolicy(DEFAULT_LIMITS))
        await runs.open(resume_unfinished=True)
        record = await done(runs, "2 + 2")
        [row] = (await runs.search("default", Search()))["runs"]
        await runs.close(grace=1)
    assert record["status"] == row["status"] == "failed"
    assert record["error"] is not None
    assert record["error"]["type"] == "internal"
    assert "secret detail" not in str(record)
    assert "secret detail" in caplog.text


class Locked(Exception):
    """What a backend raises that does not answer."""


class Unreachable:
    """An index that cannot be written for a while."""

    def __init__(self, index: RunIndex, *, failures: int) -> None:
        self._index = index
        self.failures = failures

    def __getattr__(self, name: str) -> Any:
        if name in ("accept", "project") and self.failures:
            return self._fail
        return getattr(self._index, name)

    async def check(self) -> None:
        if self.failures:
            await self._fail()

    async def _fail(self, *arguments: Any, **named: Any) -> None:
        self.failures -= 1
        raise Locked


def over(storage: Storage) -> Runs:
    settings = Settings()
    executor = Executor(slots=2, max_queued=9)
    tools = open_tools(settings)
    graph = build_graph(
        tools, checkpointer=storage.saver, store=storage.store, input_schema=Channels
    )
    return Runs(make_context(graph, storage, executor, tools), RunPolicy(settings.limits))


async def test_a_storage_that_does_not_answer_accepts_nothing(storage: Storage) -> None:
    """The caller is told that the same call may succeed later."""
    index = Unreachable(storage.index, failures=2)
    runs = over(
        replace(storage, index=cast("RunIndex", index), check=index.check, errors=(Locked,))
    )
    await runs.open(resume_unfinished=False)
    with pytest.raises(StorageUnavailable):
        await runs.start("2 + 2")
    assert (await runs.health.storage())["writable"] is False
    assert (await runs.health.storage())["writable"] is True
    assert (await done(runs, "2 + 2"))["status"] == "completed"
    await runs.close(grace=1)


async def test_a_run_outlives_a_storage_that_fails_for_a_while(storage: Storage) -> None:
    """It goes on from its last checkpoint once the storage answers again."""
    index = Unreachable(storage.index, failures=0)
    runs = over(replace(storage, index=cast("RunIndex", index), errors=(Locked,)))
    await runs.open(resume_unfinished=False)
    run_id = (await runs.start("add todo once, then show my list"))["run_id"]
    index.failures = 2

    async def found() -> bool:
        return (await runs.search("default", Search()))["runs"][0]["status"] == "completed"

    await until(found)
    record = await settled(runs, run_id)
    assert ((await runs.search("default", Search()))["runs"])[0]["status"] == "completed"
    await runs.close(grace=1)
    assert record["result"] is not None
    assert [todo["text"] for todo in record["result"]["output"]] == ["once"]


async def test_a_number_that_no_checkpoint_holds_is_refused_before_anything_is_done(
    settings: Settings,
) -> None:
    """Not after the steps before it, nor as a fault of ours."""

    @tool("dice.roll", phrases=["roll {count} dice"])
    def roll(count: int) -> int:
        """Roll some dice."""
        return 1

    async with open_runs(settings, functions=[roll]) as runs:
        fine = await done(runs, "roll 9223372036854775807 dice")
        record = await done(runs, "what is 1 + 1, then roll 9223372036854775808 dice")

    assert fine["status"] == "completed"
    assert (record["status"], record["execution_log"]) == ("failed", [])
    assert record["error"] is not None
    assert record["error"]["type"] == "plan_rejected"
    assert "beyond 64 bits" in record["error"]["message"]
