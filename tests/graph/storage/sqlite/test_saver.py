"""The saver writes what LangGraph's own would: each reads and resumes what the other wrote."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.store.memory import InMemoryStore

from graph.build import RunGraph, build_graph
from graph.storage.open import open_storage
from graph.storage.storage import strict_serializer
from tools.calculator import calculator
from tools.registry import make_tools

CONFIG: RunnableConfig = {"configurable": {"thread_id": "t"}}
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


Opened = Callable[[Path], AbstractAsyncContextManager[BaseCheckpointSaver[str]]]
both_ways = pytest.mark.parametrize(
    ("writing", "reading"), [(ours, stock), (stock, ours)], ids=["ours-stock", "stock-ours"]
)


def graph_on(saver: BaseCheckpointSaver[str]) -> RunGraph:
    return build_graph(make_tools([calculator]), checkpointer=saver, store=InMemoryStore())


async def everything(saver: BaseCheckpointSaver[str]) -> list[Any]:
    return [found async for found in saver.alist(CONFIG)]


@both_ways
async def test_every_checkpoint_is_read_as_it_was_written(
    tmp_path: Path, writing: Opened, reading: Opened
) -> None:
    path = tmp_path / "runs.db"
    async with writing(path) as saver:
        await graph_on(saver).ainvoke(PROMPT, CONFIG, durability="sync")
        written = await everything(saver)
    async with reading(path) as saver:
        read = await everything(saver)

    assert len(written) > 4
    assert read == written


@both_ways
async def test_a_run_goes_on_where_the_other_left_it(
    tmp_path: Path, writing: Opened, reading: Opened
) -> None:
    path = tmp_path / "runs.db"
    async with writing(path) as saver:
        await graph_on(saver).ainvoke(
            PROMPT, CONFIG, durability="sync", interrupt_after=["execute_step"]
        )
    async with reading(path) as saver:
        graph = graph_on(saver)
        before = (await graph.aget_state(CONFIG)).values
        await graph.ainvoke(None, CONFIG, durability="sync")
        after = (await graph.aget_state(CONFIG)).values

    assert [entry["output"] for entry in before["log"]] == [15]
    assert [entry["output"] for entry in after["log"]] == [15, 45]
    assert after["run"]["status"] == "completed"


@both_ways
async def test_a_deleted_thread_is_gone_for_both(
    tmp_path: Path, writing: Opened, reading: Opened
) -> None:
    path = tmp_path / "runs.db"
    async with writing(path) as saver:
        await graph_on(saver).ainvoke(PROMPT, CONFIG, durability="sync")
    async with reading(path) as saver:
        await saver.adelete_thread("t")
    async with writing(path) as saver:
        assert await everything(saver) == []


async def test_a_thread_that_is_said_to_be_new_is_looked_up_once_it_has_a_checkpoint(
    tmp_path: Path,
) -> None:
    """Sparing the first look-up must not hide what was written after it."""
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        storage.expect_new("t")
        assert await storage.saver.aget_tuple(CONFIG) is None
        await graph_on(storage.saver).ainvoke(PROMPT, CONFIG, durability="sync")
        latest = await storage.saver.aget_tuple(CONFIG)

    assert latest is not None
    assert latest.checkpoint["channel_values"]["run"]["status"] == "completed"
