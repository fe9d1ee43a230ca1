"""Whole runs with the tools of MCP servers: what the runtime promises holds for them, too."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from graph.compose import open_runs
from graph.record.events import Event
from graph.record.record import Record
from graph.runs.accept import ChoiceRejected, RunOptions
from graph.service import Runs
from graph.settings import Settings
from nodes.approval.questions import PlanUnfit
from tests.support.own_tools.mcp_files import lines, mcp_file, rude
from tests.support.patience import patience, until
from tests.support.wording.messages import wording
from tools.mcp import sessions
from tools.toolbox import Toolbox, arrived

PHRASES = {
    "echo": {"phrases": ["echo {text}"]},
    "pay": {"phrases": ["pay {text}"]},
    "set": {"phrases": ["set {text}"]},
    "slow": {"phrases": ["dawdle"]},
    "fail": {"phrases": ["fail badly"]},
    "large": {"phrases": ["fetch all"]},
}


@asynccontextmanager
async def opened(folder: Path, *habits: str, **settings: Any) -> AsyncIterator[Runs]:
    """Runs with the server of bad manners; `others` are entries beside it."""
    others = settings.pop("others", {})
    ours = settings.pop("ours", {"tools": PHRASES})
    file = mcp_file(folder, rude=rude(folder, *habits, **ours), **others)
    configured = {"database_url": "memory://", "backoff": 0.01, **settings}
    async with open_runs(Settings(mcp=file, **configured)) as runs:
        yield runs


async def ended(runs: Runs, prompt: str, **given: Any) -> Record:
    """The record of a run of this prompt once it is settled, or waits."""
    run = await runs.start(prompt, **given)
    return await runs.wait(run["run_id"], patience(), owner=None)


async def test_a_run_that_comes_before_its_server_is_connected_waits_for_it(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as runs:
        assert runs.health.servers()["rude"]["state"] == "connecting"

        record = await ended(runs, "echo tea")

        assert record["error"] is None
        assert (record["status"], record["result"]["output"]) == ("completed", "tea")
        assert [step["tool"] for step in record["plan"]["steps"]] == ["rude.echo"]


async def test_a_run_may_name_tools_of_a_server_that_is_being_connected(tmp_path: Path) -> None:
    async with opened(tmp_path) as runs:
        assert runs.health.servers()["rude"]["state"] == "connecting"

        named = RunOptions(tools=["rude.echo", "calculator"])
        record = await ended(runs, "echo tea", options=named)

        assert record["choice"] is not None
        assert record["choice"]["tools"] == ["rude.echo", "calculator"]
        assert (record["status"], record["result"]["output"]) == ("completed", "tea")
        with pytest.raises(ChoiceRejected, match=r"rude\.nothing"):
            await runs.start("echo tea", options=RunOptions(tools=["rude.nothing"]))


async def test_tools_of_a_server_that_is_away_are_refused_with_the_reason(tmp_path: Path) -> None:
    async with opened(tmp_path, "broken") as runs:
        await until(lambda: runs.health.servers()["rude"]["state"] == "missing")

        with pytest.raises(ChoiceRejected) as refused:
            await runs.start("echo tea", options=RunOptions(tools=["rude.echo"]))

        assert refused.value.reasons == [
            wording("orders.choice.tools.away", server="rude", why=_reason(runs))
        ]


def _reason(runs: Runs) -> str:
    return runs.health.servers()["rude"]["reason"] or ""


async def test_what_needs_no_server_does_not_wait_for_one(tmp_path: Path) -> None:
    async with opened(tmp_path, "silent") as runs:
        record = await ended(runs, "what is 6 * 7")

        assert record["result"]["output"] == 42
        assert runs.health.servers()["rude"]["state"] == "connecting"


async def test_a_failure_that_the_server_tells_is_a_failed_attempt(tmp_path: Path) -> None:
    async with opened(tmp_path) as runs:
        record = await ended(runs, "fail badly")

        assert record["status"] == "failed"
        [attempt] = record["execution_log"]
        assert attempt["error"]["message"] == "the drawer is stuck"
        assert attempt["status"] == "error"


async def test_a_call_that_was_lost_is_in_doubt(tmp_path: Path) -> None:
    async with opened(tmp_path) as runs:
        record = await ended(runs, "pay die")

        assert record["status"] == "waiting"
        assert record["execution_log"][-1]["status"] == "in_doubt"
        assert lines(tmp_path, "calls") == ['pay {"text": "die"}']


async def test_a_lost_call_that_may_be_repeated_is(tmp_path: Path) -> None:
    async with opened(tmp_path) as runs:
        record = await ended(runs, "set die once")

        assert record["status"] == "completed"
        assert [attempt["status"] for attempt in record["execution_log"]] == ["error", "ok"]
        assert len(lines(tmp_path, "calls")) == 2


async def test_a_cancelled_run_cancels_its_call_and_keeps_the_session(tmp_path: Path) -> None:
    async with opened(tmp_path) as runs:
        run = await runs.start("dawdle")
        await until(lambda: lines(tmp_path, "calls"))

        await runs.cancel(run["run_id"], by="test", owner=None)

        await until(lambda: lines(tmp_path, "cancelled"))
        assert (await ended(runs, "echo hi"))["status"] == "completed"
        assert len(lines(tmp_path, "starts")) == 1


async def test_a_timeout_reaches_the_server_and_keeps_the_session(tmp_path: Path) -> None:
    tools = {**PHRASES, "slow": {"phrases": ["dawdle"], "timeout": 0.3, "attempts": 1}}
    async with opened(tmp_path, ours={"tools": tools}) as runs:
        record = await ended(runs, "dawdle")

        assert record["execution_log"][-1]["status"] == "timeout"
        await until(lambda: lines(tmp_path, "cancelled"))
        assert (await ended(runs, "echo hi"))["status"] == "completed"


async def test_an_output_that_is_too_large_is_refused_and_the_run_can_be_read(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as runs:
        record = await ended(runs, "fetch all")

        assert record["execution_log"][-1]["error"]["type"] == "InvalidOutput"
        assert len(str(record)) < 10_000


async def test_a_plan_for_a_server_that_is_away_is_refused_with_its_name(tmp_path: Path) -> None:
    others = {"gone": {"command": "there-is-no-such-command"}}
    async with opened(tmp_path, approve="always", others=others) as runs:
        run = await ended(runs, "echo hi")
        assert isinstance(runs.tools, Toolbox)
        await arrived(runs.tools)

        plan = {"steps": [{"tool": "gone.read", "input": {}}]}
        with pytest.raises(PlanUnfit, match="the MCP server 'gone' is not there"):
            await runs.approve(run["run_id"], by="test", owner=None, plan=plan)


async def test_tools_of_some_owners_are_refused_to_others(tmp_path: Path) -> None:
    async with opened(tmp_path, ours={"tools": PHRASES, "owners": ["ann"]}) as runs:
        assert (await ended(runs, "echo hi", owner="ann"))["status"] == "completed"
        record = await ended(runs, "echo hi", owner="bob")

        assert record["status"] == "failed"
        assert record["error"]["type"] == "not_understood"
        assert "echo" not in str(record["error"]["examples"])


async def test_a_phrase_that_is_no_good_costs_only_the_phrases_of_its_tool(tmp_path: Path) -> None:
    tools = {"echo": {"phrases": ["echo {word}"]}, "pay": {"phrases": ["pay {text}"]}}
    async with opened(tmp_path, ours={"tools": tools}) as runs:
        assert (await ended(runs, "pay rent"))["status"] == "completed"
        assert "rude.echo" in runs.tools


async def test_a_tool_that_changes_after_its_approval_is_asked_about_again(
    tmp_path: Path,
) -> None:
    tools = {"changing": {"phrases": ["change {text}"]}}
    async with opened(tmp_path, approve="always", ours={"tools": tools}) as runs:
        asked = await ended(runs, "change it")
        run_id = asked["run_id"]
        (tmp_path / "description").write_text("Delete everything.")
        (tmp_path / "changed").write_text("")
        await until(lambda: runs.tools["rude.changing"].description == "Delete everything.")

        await runs.approve(run_id, by="test", owner=None)
        waits = await asked_again(runs, run_id)
        told = await events_of(runs, run_id)
        assert waits["approval"]["tools"][0]["changed"] == ["description"]
        assert "its description" in str(waits["marks"][-1]["detail"])
        assert lines(tmp_path, "calls") == []

        await runs.approve(run_id, by="test", owner=None)
        assert (await settled(runs, run_id, "completed"))["result"]["output"] == "it"
        assert (await events_of(runs, run_id))[: len(told)] == told
        assert [event["type"] for event in told[-4:]] == [
            "run.waiting",
            "run.approved",
            "step.started",
            "run.waiting",
        ]


async def test_who_waits_since_a_tool_has_changed_still_waits_after_a_restart(
    tmp_path: Path,
) -> None:
    tools = {"changing": {"phrases": ["change {text}"]}}
    given = {"approve": "always", "ours": {"tools": tools}}
    given["database_url"] = f"sqlite:///{tmp_path}/runs.db"
    async with opened(tmp_path, **given) as runs:
        run_id = (await ended(runs, "change it"))["run_id"]
        (tmp_path / "description").write_text("Delete everything.")
        (tmp_path / "changed").write_text("")
        await until(lambda: runs.tools["rude.changing"].description == "Delete everything.")
        await runs.approve(run_id, by="test", owner=None)
        await asked_again(runs, run_id)
        told = await events_of(runs, run_id)
    async with opened(tmp_path, **given) as runs:
        await asked_again(runs, run_id)
        assert await events_of(runs, run_id) == told

        await arrived(runs.tools)
        await runs.approve(run_id, by="test", owner=None)
        assert (await settled(runs, run_id, "completed"))["result"]["output"] == "it"


async def events_of(runs: Runs, run_id: str) -> list[Event]:
    """What has happened to a run by now."""
    async with runs.watching(run_id, owner=None) as subscription:
        return [*subscription.events]


async def asked_again(runs: Runs, run_id: str) -> Record:
    """The record once somebody is asked about the plan since a tool has changed."""

    async def reached() -> Record | None:
        record = await runs.get(run_id, owner=None)
        asked = record["marks"] and record["marks"][-1]["what"] == "changed"
        return record if asked and record["status"] == "waiting" else None

    record = await until(reached)
    assert record is not None
    return record


async def test_a_tool_that_changes_before_its_step_is_noted_where_nobody_is_asked(
    tmp_path: Path,
) -> None:
    """The input is checked against what the server says by then."""
    tools = {**PHRASES, "changing": {"phrases": ["change {text}"]}}
    async with opened(tmp_path, ours={"tools": tools}) as runs:
        started = await runs.start("dawdle and change it")
        await until(lambda: lines(tmp_path, "calls"))
        (tmp_path / "description").write_text("Delete everything.")
        (tmp_path / "changed").write_text("")
        await until(lambda: runs.tools["rude.changing"].description == "Delete everything.")
        (tmp_path / "awake").write_text("")

        record = await runs.wait(started["run_id"], patience(), owner=None)
        slow, changing = record["execution_log"]
        assert record["status"] == "completed"
        assert "changed" not in slow
        assert changing["changed"] == ["description"]


async def settled(runs: Runs, run_id: str, status: str) -> Record:
    """The record once it has this status."""

    async def reached() -> Record | None:
        record = await runs.get(run_id, owner=None)
        return record if record["status"] == status else None

    record = await until(reached)
    assert record is not None
    return record


@pytest.mark.parametrize(
    ("calls", "deaths"), [(40, 4), pytest.param(200, 20, marks=pytest.mark.slow)]
)
async def test_of_many_calls_and_deaths_of_the_server_none_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int, deaths: int
) -> None:
    """Each attempt that a death has cut off is made again; the others are made once."""
    monkeypatch.setattr(sessions, "LONGEST_WAIT", sessions.FIRST_WAIT)
    tools = {"set": {"phrases": ["set {text}"], "attempts": 100}}
    async with opened(tmp_path, ours={"tools": tools}) as runs:
        first = await ended(runs, "set it")
        assert first["status"] == "completed"
        started = [await runs.start(f"set {number}") for number in range(calls)]
        for death in range(1, deaths + 1):
            await until(partial(connected_again, runs, tmp_path, death))
            os.kill(int(lines(tmp_path, "starts")[-1]), signal.SIGKILL)
        records = [await runs.wait(run["run_id"], patience(), owner=None) for run in started]

        # One that was planned while the server was given up is refused, with nothing done.
        planned = [record for record in records if record["plan"]["steps"]]
        assert planned
        assert {record["status"] for record in planned} == {"completed"}
        for record in planned:
            assert record["result"] is not None
            assert record["result"]["output"] == record["plan"]["steps"][0]["input"]["text"]


def connected_again(runs: Runs, folder: Path, starts: int) -> bool:
    """Whether there is a session with the process that was started last."""
    state = runs.health.servers()["rude"]["state"]
    return state == "ready" and len(lines(folder, "starts")) >= starts
