"""The workbench: runs as the server executes them, on every backend, for notebooks and scripts."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from graph.commands.approval import NotWaiting
from graph.commands.retry import NotRetryable
from graph.commands.seeded import ForkRejected
from graph.runs.accept import ChoiceRejected
from graph.runs.cancellation import AlreadySettled
from graph.runs.context import RunNotFound
from graph.service import PromptRejected
from graph.settings import InvalidSettings
from graph.storage.sqlite.open import FileOwned
from graph.workbench import Workbench, WorkbenchClosed, open_workbench
from nodes.approval.questions import PlanUnfit
from tests.support.patience import patience
from tests.support.wording.messages import wording
from tools.registry import InvalidTool, ToolError, tool

SUMS = "calculate 10 + 5, and then multiply it by 3"


class Stumbling:
    """A tool that fails so many times before it works."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    @property
    def function(self):
        @tool(phrases=["water the {plant}"])
        async def water(plant: str) -> str:
            """Water a plant."""
            if self.failures:
                self.failures -= 1
                raise ToolError("the tap is dry", retryable=True)
            return f"{plant} watered"

        return water


@tool(in_doubt="retry", phrases=["linger over {thing}"])
async def linger(thing: str) -> None:
    """Take very long."""
    await asyncio.sleep(600)


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Workbench]:
    own = Stumbling(2).function, linger
    async with await open_workbench(*own, database_url=database_url, backoff=0.01) as opened:
        yield opened


async def test_a_task_is_run_to_its_end(bench: Workbench) -> None:
    run = await bench.run(SUMS)

    assert run.status == "completed"
    assert run.output == 45
    assert [(row["step"], row["status"], row["output"]) for row in run.log] == [
        (1, "ok", 15),
        (2, "ok", 45),
    ]
    assert repr(run).startswith("completed: 2 steps done; the result is 45\nstep  tool")
    assert "<table>" in run._repr_html_()
    assert (await bench.get(run.run_id)).record == run.record
    assert len(await run.explain()) == 3


async def test_events_come_while_it_goes_on_and_end_with_it(bench: Workbench) -> None:
    run = await bench.start("water the fern")
    seen = [event async for event in run.events()]

    assert [event["id"] for event in seen] == list(range(1, len(seen) + 1))
    assert [event["type"] for event in seen].count("step.failed") == 2
    assert seen[-1]["type"] == "end"
    assert run.status == "completed"
    assert [event async for event in run.events(after=len(seen) - 1)] == seen[-1:]
    assert [event async for event in run.events(after=len(seen))] == []
    with pytest.raises(ValueError, match=wording("workbench.after")):
        await anext(run.events(after=-1))


async def test_attempts_are_counted(bench: Workbench) -> None:
    run = await bench.run("water the fern")

    assert [row["status"] for row in run.log] == ["error", "error", "ok"]
    assert repr(run).splitlines()[2].split()[:4] == ["1", "water", "ok", "3"]


async def test_a_failed_run_goes_on_where_it_is_told(bench: Workbench) -> None:
    run = await bench.run("add todo salt, then calculate 1 / 0")
    assert run.status == "failed"
    assert run.output is None

    again = await run.retry(input={"expression": "1 / 2"})

    assert again is run
    assert run.output == 0.5
    assert [row["step"] for row in run.log] == [1, 2, 2]


async def test_a_plan_waits_and_is_executed_as_edited(bench: Workbench) -> None:
    run = await bench.run("add todo milk", mode="plan")
    assert run.status == "waiting"
    assert [event["type"] async for event in run.events()][-1] == "run.waiting"

    plan = run.plan
    plan[0]["input"]["text"] = "oat milk"
    await run.approve(plan)

    assert run.output["text"] == "oat milk"
    with pytest.raises(NotWaiting):
        await run.approve()


async def test_an_unfit_plan_is_refused_with_reasons_and_the_run_still_waits(
    bench: Workbench,
) -> None:
    run = await bench.run("add todo milk", mode="plan")

    with pytest.raises(PlanUnfit, match="fly"):
        await run.approve([{"tool": "fly", "input": {}}])
    assert (await run.reject("too white")).status == "cancelled"
    assert "too white" in repr(run)


async def test_a_run_is_cancelled(bench: Workbench) -> None:
    run = await bench.start("linger over lunch")
    async for event in run.events():
        if event["type"] == "step.started":
            break

    assert (await run.cancel()).status == "cancelled"


async def test_a_fork_goes_on_from_a_checkpoint_and_leaves_the_run(bench: Workbench) -> None:
    run = await bench.run(SUMS)
    history = await run.history()
    assert [row["node"] for row in history][-1] == "finalize"
    moment = next(row for row in history if row["cursor"] == 1)
    plan = run.plan
    plan[1]["input"]["expression"] = "{step_1_output} * 100"

    fork = await run.fork(moment["checkpoint_id"], plan=plan)

    assert (run.output, fork.output) == (45, 1500)
    assert fork.run_id != run.run_id
    assert fork.log[0] == {**run.log[0], "step_key": None}  # the key was of the other run
    with pytest.raises(ForkRejected):
        await run.fork(moment["checkpoint_id"], plan=[{**plan[0], "tool": "fly"}])
    assert (await run.fork(moment["checkpoint_id"], prompt="what is 2 + 2")).output == 4


async def test_the_graph_itself_can_be_driven(bench: Workbench) -> None:
    """Also through the waits between attempts."""
    config = {"configurable": {"thread_id": "mine"}}
    nodes = [
        node
        async for update in bench.graph.astream(
            {"prompt": "water the fern"}, config, stream_mode="updates"
        )
        for node in update
    ]

    assert nodes == ["plan", "fallback_plan", *["execute_step"] * 3, "finalize"]
    assert bench.drawing.mermaid == bench.graph.get_graph().draw_mermaid()


async def test_two_workbenches_in_memory_share_nothing() -> None:
    async with await open_workbench() as one, await open_workbench() as another:
        run = await one.run("add todo milk")
        assert (await another.run("show my list")).output == []
        with pytest.raises(RunNotFound):
            await another.get(run.run_id)
        with pytest.raises(RunNotFound, match=wording("workbench.no-run", run_id=5)):
            await one.get(5)  # type: ignore[arg-type]


async def test_what_has_not_ended_goes_on_when_the_database_is_opened_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    dry = await open_workbench(Stumbling(9).function, database_url=url, backoff=0.5)
    run = await dry.start("add todo milk, then water the fern")
    async for event in run.events():
        if event["type"] == "step.failed":
            break
    await dry.close()

    wet = await open_workbench(Stumbling(0).function, database_url=url)
    again = await wet.get(run.run_id)
    assert [row["status"] for row in again.log] == ["ok", "error"]
    assert (await again.rest()).output == "fern watered"
    assert [row["status"] for row in again.log] == ["ok", "error", "ok"]
    await wet.close()


async def test_a_closed_workbench_says_so_and_keeps_nobody_waiting() -> None:
    bench = await open_workbench(linger, grace=0.05)
    run = await bench.start("linger over lunch")
    waiting = asyncio.create_task(run.rest())
    await asyncio.sleep(0.05)

    await bench.close()
    await bench.close()

    with pytest.raises(WorkbenchClosed):
        await asyncio.wait_for(waiting, patience())
    with pytest.raises(WorkbenchClosed):
        await run.rest()
    for call in (bench.run("what is 1 + 1"), bench.get(run.run_id), run.history(), run.explain()):
        with pytest.raises(WorkbenchClosed):
            await call


async def test_a_database_is_open_once_at_a_time(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    async with await open_workbench(database_url=url):
        with pytest.raises(FileOwned) as owned:
            await open_workbench(database_url=url)
        assert owned.value.__notes__ == [wording("workbench.open-here")]
    await (await open_workbench(database_url=url)).close()


async def test_what_is_wrong_is_said_at_once() -> None:
    def silent(text: str) -> str:
        return text

    with pytest.raises(InvalidTool, match="docstring"):
        await open_workbench(silent)
    with pytest.raises(InvalidSettings, match="--backoff"):
        await open_workbench(backoff=-1)
    async with await open_workbench() as bench:
        assert "calculator" in repr(bench)
        with pytest.raises(PromptRejected, match="empty"):
            await bench.run("  ")
        with pytest.raises(ValueError, match=wording("workbench.mode")):
            await bench.run("what is 1 + 1", mode="Plan")  # type: ignore[arg-type]
        run = await bench.run("what is 1 + 1", mode="plan")
        with pytest.raises(ValueError, match=wording("workbench.reason")):
            await run.reject(5)  # type: ignore[arg-type]
    with pytest.raises(InvalidSettings, match=wording("settings.unknown", name="bakoff")):
        await open_workbench(bakoff=1)


async def test_a_refusal_says_of_which_run_it_could_be_asked() -> None:
    async with await open_workbench() as bench:
        run = await bench.run("what is 1 + 1")
        for refused, kind in (
            (run.approve(), NotWaiting),
            (run.reject(), NotWaiting),
            (run.cancel(), AlreadySettled),
            (run.retry(), NotRetryable),
            (run.retry(replan=True), NotRetryable),
        ):
            with pytest.raises(kind) as error:
                await refused
            assert (error.value.run_id, error.value.status) == (run.run_id, "completed")
            assert str(error.value).endswith(f"; {kind.rule}")


@pytest.mark.parametrize("plan", ["foo", ["foo"], {"steps": "foo"}, [{"tool": "calculator"}]])
async def test_a_plan_of_the_wrong_shape_is_refused_with_the_reason(plan: Any) -> None:
    async with await open_workbench() as bench:
        run = await bench.run("what is 1 + 1", mode="plan")
        with pytest.raises(PlanUnfit):
            await run.approve(plan)
        assert (await run.approve({"steps": list(run.plan)})).output == 2


async def test_a_fork_takes_steps_of_a_tool_and_its_input_only() -> None:
    """As a person writes them in a cell, and as `approve` takes them."""
    async with await open_workbench() as bench:
        run = await bench.run("what is 2 + 2")
        planned = list(await run.history())[2]
        step = {"tool": "calculator", "input": {"expression": "7 * 6"}}
        forked = await run.fork(planned["checkpoint_id"], plan=[step])
        assert (forked.status, forked.output) == ("completed", 42)
        forked = await run.fork(planned["checkpoint_id"], plan={"steps": [step]})
        assert (forked.status, forked.output) == ("completed", 42)


async def test_a_task_may_be_given_tools_and_metadata(bench: Workbench) -> None:
    run = await bench.run(SUMS, tools=["calculator"], metadata={"cell": "7"})

    assert run.status == "completed"
    assert run.record["choice"] == {"model": None, "instructions": None, "tools": ["calculator"]}
    assert run.record["metadata"] == {"cell": "7"}
    with pytest.raises(ChoiceRejected):
        await bench.start(SUMS, model="openai/gpt-5-mini")


async def test_a_conversation_goes_on_in_one_thread_and_is_found_by_its_name() -> None:
    async with await open_workbench() as bench:
        talk = bench.thread()
        first, second = await asyncio.gather(talk.start("calculate 6 * 7"), talk.start("2 + 2"))
        third = await talk.run("3 + 3")
        other = await bench.thread("sums").run("4 + 4")
        again = await bench.thread("sums").run("5 + 5")

    assert {run.thread_id for run in (first, second, third)} == {first.run_id}
    assert [turn["prompt"] for turn in third.record["conversation"]["turns"]] == [
        "calculate 6 * 7",
        "2 + 2",
    ]
    assert third.output == 6
    assert repr(talk).splitlines()[-2:] == ["> 3 + 3", third.said]
    assert again.thread_id == other.run_id
