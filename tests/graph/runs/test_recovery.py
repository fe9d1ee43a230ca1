"""Taking up a run after a crash, at every moment at which a crash can leave its storage."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import START

from graph.build import RunGraph, build_graph
from graph.queue.executor import Executor
from graph.record.record import Record
from graph.runs.accept import RunPolicy
from graph.runs.context import make_context
from graph.runs.recovery import MAX_STARTS
from graph.service import Runs
from graph.state import DEFAULT_LIMITS, Channels, Limits, RunState, new_run, split
from graph.state.row import RunRow
from graph.storage.open import open_storage
from graph.storage.sqlite.open import SqliteSaver
from graph.storage.storage import Storage
from tests.support.patience import patience, until
from tests.support.wording.messages import wording
from tools.registry import ToolError, make_tools, tool

LIMITS: Limits = {**DEFAULT_LIMITS, "backoff": 0.01}


class Killed(BaseException):
    """The process is gone; nothing after this moment happened."""


class Death:
    """Comes around the n-th write, before or after it is stored."""

    def __init__(self, writes: int, *, after_storing: bool) -> None:
        self.left = writes
        self.after_storing = after_storing

    @property
    def came(self) -> bool:
        return self.left <= 0


class MortalSaver(SqliteSaver):
    """A saver of a process that is killed; LangGraph may copy it, its death is one."""

    def __init__(self, saver: Any, death: Death) -> None:
        super().__init__(saver.conn, saver._writer)
        self.death = death

    async def aput(self, *arguments: Any) -> Any:
        return await self._write(super().aput, *arguments)

    async def aput_writes(self, *arguments: Any) -> None:
        await self._write(super().aput_writes, *arguments)

    async def _write(self, write: Any, *arguments: Any) -> Any:
        self.death.left -= 1
        if self.death.left < 0 or (self.death.came and not self.death.after_storing):
            raise Killed
        result = await write(*arguments)
        if self.death.came:
            raise Killed
        return result


class Counting:
    """A tool that counts its calls; the first one for twice fails, those for `stuck` never end."""

    def __init__(self, *stuck: str) -> None:
        self.calls: Counter[str] = Counter()
        self.stuck = stuck

    def make(self) -> Any:
        @tool("count", in_doubt="retry", phrases=["count {label}"])
        async def count(label: str) -> str:
            """Count a label."""
            self.calls[label] += 1
            if label in self.stuck:
                await asyncio.sleep(60)
            if label == "twice" and self.calls[label] == 1:
                raise ToolError("not yet", retryable=True)
            return label

        return count


@asynccontextmanager
async def opened(
    storage: Storage,
    counting: Counting,
    *,
    orderly: bool = True,
    limits: Limits = LIMITS,
    expanding: bool = False,
) -> AsyncIterator[Runs]:
    """Runs as a process has them that was just started on this storage.

    One that does not end in an orderly way has no chance to write anything at its end. `expanding`
    is a graph with a node before `plan`.
    """
    tools = make_tools([counting.make()])
    executor = Executor(slots=2, max_queued=100)
    graph = build_graph(
        tools,
        checkpointer=storage.saver,
        store=storage.store,
        limits=limits,
        wait=executor.wait_until,
        input_schema=Channels,
    )
    if expanding:
        graph = expanded(graph)
    runs = Runs(make_context(graph, storage, executor, tools), RunPolicy(limits))
    await runs.open(resume_unfinished=True)
    try:
        yield runs
    finally:
        await (runs.close(grace=0.1) if orderly else executor.stop(grace=0))


def expanded(graph: RunGraph) -> RunGraph:
    """The graph with a node before `plan`, which writes out what the prompt abbreviates."""

    async def expand(state: RunState) -> dict[str, str]:
        return {"prompt": state["prompt"].replace("twice", "then count twice")}

    builder = graph.builder
    builder.add_node("expand", expand)
    builder.edges.remove((START, "plan"))
    builder.add_edge(START, "expand")
    builder.add_edge("expand", "plan")
    return builder.compile(checkpointer=graph.checkpointer, store=graph.store)


async def settled(runs: Runs, run_id: str) -> Record:
    record = await runs.wait(run_id, timeout=patience(), owner="default")
    assert record["status"] in ("completed", "failed"), record
    return record


async def killed(
    storage: Storage,
    counting: Counting,
    writes: int,
    after: bool,
    *,
    prompt: str = "count one, then count twice and then count three",
    expanding: bool = False,
) -> str:
    """A run whose process was killed at its n-th write; its id."""
    death = Death(writes, after_storing=after)
    saver = MortalSaver(storage.saver, death)
    async with opened(
        replace(storage, saver=saver),
        counting,
        orderly=False,
        expanding=expanding,
    ) as runs:
        run_id = (await runs.start(prompt))["run_id"]
        completed = asyncio.create_task(runs.wait(run_id, timeout=patience(), owner="default"))
        await until(lambda: death.came or completed.done())
        await asyncio.sleep(0.02)
        completed.cancel()
    return run_id


@pytest.mark.parametrize("after", [False, True], ids=["before-storing", "after-storing"])
@pytest.mark.parametrize("writes", range(1, 16))
async def test_no_finished_step_is_repeated_wherever_the_process_dies(
    tmp_path: Path, writes: int, after: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A step whose result was stored is not called again; the step in flight at most once more."""
    counting = Counting()
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        run_id = await killed(storage, counting, writes, after)
        finished = {
            entry["input"]["label"]
            for entry in (await _stored(storage, run_id))
            if entry["status"] == "ok"
        }
        before = Counter(counting.calls)
        async with opened(storage, counting) as runs:
            record = await settled(runs, run_id)
    assert record["status"] == "completed"
    assert record["result"] is not None
    assert record["result"]["output"] == "three"
    oks = [entry["step"] for entry in record["execution_log"] if entry["status"] == "ok"]
    assert oks == [1, 2, 3]
    for label in finished:
        assert counting.calls[label] == before[label], f"{label} was stored and called again"
    assert sum(counting.calls.values()) <= 4 + 1
    attempts = [(entry["step"], entry["attempt"]) for entry in record["execution_log"]]
    assert attempts == [(1, 1), (2, 1), (2, 2), (3, 1)] or counting.calls["twice"] == 2


@pytest.mark.parametrize("after", [False, True], ids=["before-storing", "after-storing"])
@pytest.mark.parametrize("writes", range(1, 6))
async def test_a_node_before_the_plan_is_visited_wherever_the_process_dies(
    tmp_path: Path, writes: int, after: bool
) -> None:
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        run_id = await killed(
            storage, Counting(), writes, after, prompt="count one, twice", expanding=True
        )
        async with opened(storage, Counting(), expanding=True) as runs:
            record = await settled(runs, run_id)
    assert record["status"] == "completed", record["error"]
    labels = [entry["input"]["label"] for entry in record["execution_log"]]
    assert sorted({*labels}) == ["one", "twice"]


async def _stored(storage: Storage, run_id: str) -> list[dict[str, Any]]:
    """The attempts that a reader sees after the crash."""
    async with opened_reader(storage) as runs:
        return (await runs.get(run_id, owner="default"))["execution_log"]


@asynccontextmanager
async def opened_reader(storage: Storage) -> AsyncIterator[Runs]:
    """Runs that execute nothing."""
    tools = make_tools([Counting().make()])
    graph = build_graph(
        tools, checkpointer=storage.saver, store=storage.store, input_schema=Channels
    )
    executor = Executor(slots=1, max_queued=1)
    yield Runs(make_context(graph, storage, executor, tools), RunPolicy(LIMITS))


async def test_a_take_up_leaves_a_mark_in_the_record(tmp_path: Path) -> None:
    """Afterwards one sees that there was a crash, and when it went on."""
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        run_id = await killed(storage, Counting(), writes=6, after=True)
        async with opened(storage, Counting()) as runs:
            record = await settled(runs, run_id)
    assert [mark["what"] for mark in record["marks"]] == ["taken_up"]
    assert record["marks"][0]["by"] == "server"


async def test_a_run_that_never_began_is_begun_without_a_mark(tmp_path: Path) -> None:
    """Accepted, then killed before anything: there is nothing to be taken up from."""
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        run_id = await killed(storage, Counting(), writes=1, after=False)
        async with opened(storage, Counting()) as runs:
            record = await settled(runs, run_id)
    assert record["status"] == "completed"
    assert record["marks"] == []


async def test_a_run_settled_in_its_checkpoint_only_is_settled_in_the_index(
    tmp_path: Path,
) -> None:
    """The checkpoint wins, and nothing is executed for it."""
    counting = Counting()
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        async with opened(storage, counting) as runs:
            run_id = (await runs.start("count one"))["run_id"]
            await settled(runs, run_id)
        await storage.saver._writer.write(
            ("UPDATE runs SET status = 'running', completed_at = NULL", ())
        )
        async with opened(storage, counting) as runs:
            await _until_projected(storage, run_id)
            record = await runs.get(run_id, owner="default")
    assert counting.calls == {"one": 1}
    assert record["marks"] == []


async def _until_called(counting: Counting, times: int) -> None:
    await until(lambda: counting.calls.total() >= times)


async def _until_projected(storage: Storage, run_id: str) -> RunRow:
    async def projected() -> RunRow | None:
        row = await storage.index.find(run_id)
        return row if row and row.status == "completed" else None

    row = await until(projected)
    assert row
    return row


async def test_a_run_that_ends_its_process_before_its_first_checkpoint_is_given_up(
    tmp_path: Path,
) -> None:
    """Nobody knows which of those without one was begun, so that each start of one counts."""
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        run_id = await killed(storage, Counting(), writes=1, after=False)
        for _ in range(MAX_STARTS - 1):
            death = Death(1, after_storing=False)
            mortal = replace(storage, saver=MortalSaver(storage.saver, death))
            async with opened(mortal, Counting(), orderly=False):
                await until(lambda: death.came)  # noqa: B023 - it is awaited here
        async with opened(storage, Counting()) as runs:
            record = await settled(runs, run_id)
    assert (record["status"], record["execution_log"]) == ("failed", [])
    assert record["error"] is not None
    assert record["error"]["type"] == "internal"


async def test_a_run_that_gets_no_further_is_given_up_after_three_starts(tmp_path: Path) -> None:
    """A run that kills its process must not do so for ever; the reason is in the record."""
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        stuck = Counting("one")
        async with opened(storage, stuck, orderly=False) as runs:
            run_id = (await runs.start("count one"))["run_id"]
            await _until_called(stuck, 1)
        for start in range(MAX_STARTS):
            async with opened(storage, stuck, orderly=False):
                await _until_called(stuck, 2 + start)
        counting = Counting()
        async with opened(storage, counting) as runs:
            record = await settled(runs, run_id)
    assert record["status"] == "failed"
    assert record["error"] is not None
    assert record["error"]["type"] == "internal"
    assert record["error"]["message"] == wording("runs.given-up")
    assert not counting.calls


async def test_orderly_ends_do_not_count_as_deaths(tmp_path: Path) -> None:
    """However often a server is restarted while a long step is under way, the run is kept."""
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        stuck = Counting("one")
        for start in range(MAX_STARTS + 2):
            async with opened(storage, stuck) as runs:
                if not start:
                    run_id = (await runs.start("count one"))["run_id"]
                await _until_called(stuck, start + 1)
        async with opened(storage, Counting()) as runs:
            record = await settled(runs, run_id)
    assert record["status"] == "completed"


async def test_deaths_in_a_backoff_do_not_count(tmp_path: Path) -> None:
    """Nothing of the run was under way that could have ended the process."""
    limits: Limits = {**LIMITS, "backoff": 3600.0}
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        counting = Counting()
        async with opened(storage, counting, orderly=False, limits=limits) as runs:
            run_id = (await runs.start("count twice"))["run_id"]
            await until(lambda: _waits(runs, run_id, 0))
        for start in range(MAX_STARTS + 1):
            async with opened(storage, counting, orderly=False) as runs:
                await until(lambda: _waits(runs, run_id, start + 1))  # noqa: B023
        async with opened(storage, counting) as runs:
            await until(lambda: _waits(runs, run_id, MAX_STARTS + 2))
            await until(lambda: runs._runner.hurry(run_id))
            record = await settled(runs, run_id)
    assert record["status"] == "completed"
    assert counting.calls == {"twice": 2}


async def _waits(runs: Runs, run_id: str, taken_up: int) -> bool:
    """Whether it waits for its second attempt, after so many deaths."""
    record = await runs.get(run_id, owner="default")
    waits = record["current"] and record["current"]["not_before"]
    return bool(waits) and len(record["marks"]) == taken_up


async def test_a_run_beside_the_one_that_ends_the_process_is_not_given_up_with_it(
    tmp_path: Path,
) -> None:
    """What is suspected goes on alone, so that in the end only the culprit is left."""
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        stuck = Counting("one", "two")
        async with opened(storage, stuck, orderly=False) as runs:
            culprit = (await runs.start("count one"))["run_id"]
            innocent = (await runs.start("count two"))["run_id"]
            await _until_called(stuck, 2)
        for _ in range(MAX_STARTS):
            calls = stuck.calls["one"]
            async with opened(storage, stuck, orderly=False):
                await until(lambda: stuck.calls["one"] > calls)  # noqa: B023
        async with opened(storage, Counting()) as runs:
            records = [await settled(runs, run_id) for run_id in (culprit, innocent)]
    assert [record["status"] for record in records] == ["failed", "completed"]


async def test_the_time_between_two_processes_is_not_the_time_of_the_run(tmp_path: Path) -> None:
    """However often it is taken up; a run that goes on at once has no such time."""
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        stuck = Counting("one")
        async with opened(storage, stuck, orderly=False) as runs:
            run_id = (await runs.start("count one"))["run_id"]
            await _until_called(stuck, 1)
        began = time.time()
        await asyncio.sleep(0.3)
        async with opened(storage, stuck, orderly=False):
            await _until_called(stuck, 2)
        await asyncio.sleep(0.3)
        async with opened(storage, Counting()) as runs:
            await settled(runs, run_id)
            other_id = (await runs.start("count one"))["run_id"]
            await settled(runs, other_id)
            taken_up, other = [await _paused(runs, one) for one in (run_id, other_id)]
            took = time.time() - began
    assert 0.6 <= taken_up < took + 0.1
    assert other == 0


async def _paused(runs: Runs, run_id: str) -> float:
    snapshot = await runs.graph.aget_state({"configurable": {"thread_id": run_id}})
    return float(snapshot.values["run"]["paused"])


@pytest.mark.parametrize("version", [0, 99])
async def test_a_run_of_a_version_that_cannot_be_resumed_fails_with_that_reason(
    tmp_path: Path, version: int
) -> None:
    """It is neither misread nor left unsettled."""
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        row = RunRow(
            run_id="11111111-1111-4111-8111-111111111111",
            owner="default",
            prompt="count one",
            limits=DEFAULT_LIMITS,
            created_at=time.time(),
        )
        await storage.index.accept(row)
        async with opened_reader(storage) as reader:
            state = new_run(
                row.prompt,
                run_id=row.run_id,
                owner=row.owner,
                limits=row.limits,
                created_at=row.created_at,
            )
            await reader.graph.aupdate_state(
                {"configurable": {"thread_id": row.run_id}},
                split({**state, "version": version}),
                as_node="__start__",
            )
        async with opened(storage, Counting()) as runs:
            record = await settled(runs, row.run_id)
    assert record["status"] == "failed"
    assert record["error"] is not None
    assert f"state {version}" in record["error"]["message"]
