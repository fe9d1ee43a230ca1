"""The saver reads and resumes what LangGraph's own wrote, and writes less than that."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from copy import deepcopy
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, Checkpoint, CheckpointTuple
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.store.memory import InMemoryStore
from langgraph.types import Overwrite

from graph.build import RunGraph, build_graph
from graph.state import DEFAULT_LIMITS, Channels, RunState, split, whole
from graph.state.row import RunRow, state_of
from graph.storage.open import open_storage
from graph.storage.sqlite.open import SqliteSaver
from graph.storage.storage import Follower, Storage, strict_serializer
from tools.calculator import calculator
from tools.registry import make_tools

CONFIG: RunnableConfig = {"configurable": {"thread_id": "t"}}
ACCEPTED: RunnableConfig = {"configurable": {"thread_id": str(UUID(int=1))}}
PROMPT = {"prompt": "calculate 10 + 5, and then multiply it by 3"}


@asynccontextmanager
async def ours(path: Path) -> AsyncIterator[BaseCheckpointSaver[str]]:
    async with open_storage(f"sqlite:///{path}") as storage:
        yield storage.saver


@asynccontextmanager
async def stock(path: Path) -> AsyncIterator[BaseCheckpointSaver[str]]:
    async with open_storage(f"sqlite:///{path}"):
        pass  # a file that is not marked as ours is not opened
    async with AsyncSqliteSaver.from_conn_string(str(path)) as saver:
        saver.serde = strict_serializer()
        yield saver


def graph_on(saver: BaseCheckpointSaver[str]) -> RunGraph:
    return build_graph(make_tools([calculator]), checkpointer=saver, store=InMemoryStore())


async def everything(saver: BaseCheckpointSaver[str]) -> list[Any]:
    return [found async for found in saver.alist(CONFIG)]


async def test_every_checkpoint_of_the_stock_saver_is_read_as_it_was_written(
    tmp_path: Path,
) -> None:
    path = tmp_path / "runs.db"
    async with stock(path) as saver:
        await graph_on(saver).ainvoke(PROMPT, CONFIG, durability="sync")
        written = await everything(saver)
    async with ours(path) as saver:
        read = await everything(saver)

    assert len(written) > 4
    assert read == written


async def test_a_run_goes_on_where_the_stock_saver_left_it(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with stock(path) as saver:
        await graph_on(saver).ainvoke(
            PROMPT, CONFIG, durability="sync", interrupt_after=["execute_step"]
        )
    async with ours(path) as saver:
        graph = graph_on(saver)
        before = (await graph.aget_state(CONFIG)).values
        await graph.ainvoke(None, CONFIG, durability="sync")
        after = (await graph.aget_state(CONFIG)).values

    assert [entry["output"] for entry in before["log"]] == [15]
    assert [entry["output"] for entry in after["log"]] == [15, 45]
    assert after["run"]["status"] == "completed"


async def test_every_state_is_read_again_by_another_process(tmp_path: Path) -> None:
    """Also where a checkpoint names another one for its plan, and the log is put together."""
    path = tmp_path / "runs.db"
    async with ours(path) as saver:
        streamed = graph_on(saver).astream(PROMPT, CONFIG, stream_mode="values", durability="sync")
        states = [state async for state in streamed]
    async with ours(path) as saver:
        history = [one.values async for one in graph_on(saver).aget_state_history(CONFIG)]
        one_by_one = [
            (await graph_on(saver).aget_state(found.config)).values
            for found in await everything(saver)
        ]

    assert len(history) == len(states) + 1 > 5  # with the input, before anything is in it
    assert history[:-1] == states[::-1]
    assert one_by_one == history


async def test_who_leaves_while_he_reads_leaves_nothing_old_to_the_next(tmp_path: Path) -> None:
    async with ours(tmp_path / "runs.db") as saver:
        graph = graph_on(saver)
        await graph.ainvoke(PROMPT, CONFIG, durability="sync")
        for loops in range(30):
            left = asyncio.create_task(everything(saver))
            for _ in range(loops // 3):
                await asyncio.sleep(0)
            left.cancel()
            await asyncio.wait([left])
            written = await graph.aupdate_state(CONFIG, {}, as_node="plan")
            latest = await saver.aget_tuple(CONFIG)

            assert latest is not None
            assert latest.config["configurable"] == written["configurable"]


async def test_a_copied_checkpoint_has_what_the_one_has_that_it_is_of(tmp_path: Path) -> None:
    async with ours(tmp_path / "runs.db") as saver:
        graph = graph_on(saver)
        await graph.ainvoke(PROMPT, CONFIG, durability="sync", interrupt_after=["execute_step"])
        before = await graph.aget_state(CONFIG)
        await graph.aupdate_state(before.config, None, as_node="__copy__")
        copy = await graph.aget_state(CONFIG)
        done = await graph.ainvoke(None, CONFIG, durability="sync")

    assert copy.config != before.config
    assert copy.values == before.values
    assert [entry["output"] for entry in done["log"]] == [15, 45]


class Follow:
    """Follows a run, and notes what it was told."""

    def __init__(self) -> None:
        self.told: list[RunState] = []
        self.given: object = None
        self.rows: list[tuple[str, bool]] = []

    async def tell(self, state: RunState, changed: bool) -> None:
        self.told.append(state)
        self.rows.append((state["status"], changed))

    def follower(self) -> Follower:
        return Follower(log=[], status="pending", tell=self.tell)


async def followed(
    storage: Storage, accepted: RunnableConfig = ACCEPTED
) -> tuple[Follow, list[tuple[str, ...]]]:
    """A run that was accepted and executed; who followed it, and what each transaction wrote."""
    run_id = accepted["configurable"]["thread_id"]
    row = RunRow(
        run_id=run_id, owner="o", prompt=PROMPT["prompt"], limits=DEFAULT_LIMITS, created_at=1.0
    )
    await storage.index.accept(row)
    written: list[tuple[str, ...]] = []
    writer: Any = storage.saver._writer  # type: ignore[attr-defined]
    write = writer.write

    async def noted(*statements: Any, durable: bool = False) -> int:
        tables = (sql.partition("INTO ")[2].partition(" ")[0] or "runs" for sql, _ in statements)
        written.append((*tables, *(["on disk"] if durable else [])))
        count = await write(*statements, durable=durable)
        return int(count)

    writer.write = noted
    follow = Follow()
    graph = build_graph(
        make_tools([calculator]),
        checkpointer=storage.saver,
        store=InMemoryStore(),
        input_schema=Channels,
    )
    with storage.saver.follow(run_id, follow.follower(), split(state_of(row))) as given:
        await graph.ainvoke(cast("Channels | None", given), accepted, durability="sync")
    follow.given = given
    return follow, written


async def test_a_super_step_is_one_transaction_with_all_that_it_has_changed(
    tmp_path: Path,
) -> None:
    """What it adds to the log, and the row of its run; one that is settled waits for the disk."""
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        _, written = await followed(storage)

    assert written == [
        ("checkpoints", "runs"),
        ("checkpoints",),
        ("writes", "checkpoints"),
        ("writes", "checkpoints"),
        ("checkpoints", "runs", "on disk"),
    ]


async def test_a_run_that_was_accepted_stores_no_input_once_more(tmp_path: Path) -> None:
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        await followed(storage)
        found = [found async for found in storage.saver.alist(ACCEPTED)]

    first = found[-1]
    assert len(found) == 5
    assert first.parent_config is None
    assert first.checkpoint["channel_values"]["run"]["status"] == "running"
    assert "log" not in first.checkpoint["channel_values"]


async def test_a_later_run_is_begun_without_its_input_and_stores_the_same(tmp_path: Path) -> None:
    """What LangGraph makes of an input before the first node is known from an earlier run."""
    later: RunnableConfig = {"configurable": {"thread_id": str(UUID(int=2))}}
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        first, wrote_first = await followed(storage)
        second, wrote_later = await followed(storage, later)
        stored = [[found async for found in storage.saver.alist(of)] for of in (ACCEPTED, later)]

    assert first.given is not None
    assert second.given is None
    assert wrote_later == wrote_first[:5]
    assert [one["run_id"] for one in second.told] == [str(UUID(int=2))] * 5
    assert second.told[-1]["result"] == first.told[-1]["result"]
    for one, other in zip(*stored, strict=True):
        assert one.checkpoint["channel_versions"] == other.checkpoint["channel_versions"]
        assert one.checkpoint["versions_seen"] == other.checkpoint["versions_seen"]
        assert one.metadata["step"] == other.metadata["step"]
        assert one.metadata["source"] == other.metadata["source"]
    assert stored[1][-1].parent_config is None


async def test_who_follows_a_run_is_told_each_state_that_is_stored_of_it(tmp_path: Path) -> None:
    """With the log as it is read back, its last writing of the whole included."""
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        follow, _ = await followed(storage)
        graph = graph_on(storage.saver)
        stored = [whole(one.values) async for one in graph.aget_state_history(ACCEPTED)]

    assert follow.told[1:] == stored[::-1][1:]
    assert {**follow.told[0], "log": []} == {**stored[-1], "log": []}
    assert follow.rows == [
        ("running", True),
        ("running", False),
        ("running", False),
        ("running", False),
        ("completed", True),
    ]


def stored_in(path: Path) -> list[dict[str, Any]]:
    """What the rows of a file have, in the order in which they were written."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT type, checkpoint FROM checkpoints ORDER BY rowid")
        return [strict_serializer().loads_typed(row) for row in rows]


async def test_the_plan_is_stored_when_it_changes_and_at_the_end(tmp_path: Path) -> None:
    """So that the last checkpoint alone tells of a run that is over."""
    path = tmp_path / "runs.db"
    async with open_storage(f"sqlite:///{path}") as storage:
        await followed(storage)
    stored = [one["channel_values"] for one in stored_in(path)]

    assert ["plan" in values for values in stored] == [True, True, False, False, True]
    assert ["log" in values for values in stored] == [False] * 4 + [True]


async def test_a_step_stores_of_the_run_what_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with open_storage(f"sqlite:///{path}") as storage:
        await followed(storage)
    _, planned, *steps, settled = stored_in(path)

    assert [one["channel_values"]["run"] for one in steps] == [{"cursor": 1}, {"cursor": 2}]
    for one in steps:
        assert one["channel_versions"].keys().isdisjoint({"prompt", "plan", "result"})
        assert one["versions_seen"].keys() == {"execute_step"}
    assert settled["channel_values"]["run"].keys() == planned["channel_values"]["run"].keys()
    assert settled["versions_seen"].keys() > planned["versions_seen"].keys()


def noting(saver: BaseCheckpointSaver[str]) -> list[Checkpoint]:
    """What the saver is given to store, as it is at that moment."""
    given: list[Checkpoint] = []
    put: Any = saver.aput

    async def noted(config: RunnableConfig, checkpoint: Checkpoint, *rest: Any) -> Any:
        given.append(deepcopy(checkpoint))
        return await put(config, checkpoint, *rest)

    saver.aput = noted  # type: ignore[method-assign]
    return given


async def test_every_checkpoint_is_read_by_another_process_as_it_was_given(tmp_path: Path) -> None:
    """Its versions too, by which LangGraph knows what is to be done next, and in one's own copy."""
    path = tmp_path / "runs.db"
    async with ours(path) as saver:
        given = noting(saver)
        graph = graph_on(saver)
        await graph.ainvoke(PROMPT, CONFIG, durability="sync", interrupt_after=["execute_step"])
        await graph.aupdate_state(CONFIG, {"run": {"paused": 0}}, as_node="execute_step")
        await graph.aupdate_state(CONFIG, {"run": {"paused": 0.0}}, as_node="execute_step")
        lacking = {"run": Overwrite({**given[-1]["channel_values"]["run"]})}
        del lacking["run"].value["asked"]
        await graph.aupdate_state(CONFIG, lacking, as_node="execute_step")
        await graph.ainvoke(None, CONFIG, durability="sync")
    async with ours(path) as saver:
        listed = [found.checkpoint for found in await everything(saver)][::-1]
        places = [found.config for found in await everything(saver)][::-1]
        alone = [cast("CheckpointTuple", await saver.aget_tuple(place)) for place in places]

    assert sum("base" in one for one in stored_in(path)) == 3
    assert len(given) == len(listed) > 8
    for one, other, by_itself in zip(given, listed, alone, strict=True):
        for part in ("v", "ts", "id", "channel_values", "channel_versions", "versions_seen"):
            assert repr(canonical(one[part])) == repr(canonical(other[part])), part  # type: ignore[literal-required]
        assert other == by_itself.checkpoint
    seen = [id(versions) for one in listed for versions in one["versions_seen"].values()]
    assert len(set(seen)) == len(seen)


def canonical(value: Any) -> Any:
    """Mappings in one order: that of their fields means nothing."""
    if not isinstance(value, dict):
        return value
    return {name: canonical(value[name]) for name in sorted(value)}


async def test_what_the_program_of_before_has_written_is_read_and_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "runs.db"
    with monkeypatch.context() as before:
        before.setattr(SqliteSaver, "writes_differences", False)
        async with ours(path) as saver:
            graph = graph_on(saver)
            await graph.ainvoke(PROMPT, CONFIG, durability="sync", interrupt_after=["execute_step"])
            states = [of async for *of, _, _ in graph.aget_state_history(CONFIG)]
    assert "elsewhere" in stored_in(path)[-1]
    async with ours(path) as saver:
        graph = graph_on(saver)
        assert [of async for *of, _, _ in graph.aget_state_history(CONFIG)] == states
        done = await graph.ainvoke(None, CONFIG, durability="sync")
        later = [of async for *of, _, _ in graph.aget_state_history(CONFIG)]

    assert [entry["output"] for entry in done["log"]] == [15, 45]
    assert later[-len(states) :] == states


async def test_versions_are_short_and_in_order(tmp_path: Path) -> None:
    """Also after those of the stock saver, with which an older run goes on."""
    async with stock(tmp_path / "stock.db") as saver:
        version = saver.get_next_version(None, None)
    async with ours(tmp_path / "runs.db") as saver:
        for _ in range(1000):
            before, version = version, saver.get_next_version(version, None)
            assert before < version
            assert len(version) <= 5
    assert version == "41001"
