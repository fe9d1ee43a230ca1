"""Sessions with servers: kept, opened anew, and never more than one server's loss."""

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.memory import InMemoryStore

from tests.support.own_tools.mcp_files import connected, lines, rude
from tests.support.patience import until
from tests.support.wording.messages import wording
from tools.invocation import invoke
from tools.loading import BUILTIN
from tools.mcp import sessions
from tools.registry import ToolCall, ToolError, make_tools
from tools.threads import ToolThreads
from tools.toolbox import Toolbox, absence

NO_METHOD = {"code": -32601, "message": "Method not found"}


async def called(tools: Toolbox, name: str, **arguments: Any) -> Any:
    """What the tool of the server answers."""
    coroutine = tools[f"rude.{name}"].coroutine
    assert coroutine is not None
    return await coroutine(**arguments)


def runs(pid: str) -> bool:
    """Whether there is such a process, which is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


async def test_one_server_that_cannot_be_reached_takes_only_its_own_tools_away(
    tmp_path: Path,
) -> None:
    servers = {
        "rude": rude(tmp_path),
        "broken": rude(tmp_path, "broken"),
        "absent": {"command": "there-is-no-such-command"},
        "far": {"url": "http://127.0.0.1:9/mcp"},
        "text": "npx something",
    }

    async with connected(tmp_path, make_tools(BUILTIN), **servers) as (tools, opened):
        health = opened.health()
        assert await called(tools, "echo", text="here") == "here"
        assert "calculator" in tools

        states = {name: one["state"] for name, one in health.items()}
        assert states == {"rude": "ready"} | dict.fromkeys(servers.keys() - {"rude"}, "missing")
        assert "the drawer has no lock" in str(health["broken"]["reason"])
        assert "there-is-no-such-command" in str(health["absent"]["reason"])
        assert "'broken' is not there" in str(absence(tools, "broken.echo"))
        assert absence(tools, "rude.echo") is None


@pytest.mark.parametrize(
    ("habit", "limit", "reason"),
    [
        ("silent", "CONNECT", "it did not answer within 0.5 s"),
        ("listless", "LIST", "it did not list its tools within 0.5 s"),
    ],
)
async def test_a_server_that_never_answers_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, habit: str, limit: str, reason: str
) -> None:
    """Neither the handshake nor the question for its tools."""
    monkeypatch.setattr(sessions, limit, 0.5)

    async with connected(tmp_path, rude=rude(tmp_path, habit)) as (tools, opened):
        assert opened.health()["rude"]["reason"] == reason
        assert not [*tools]


async def test_structured_content_alone_and_no_content_at_all_are_outputs(tmp_path: Path) -> None:
    async with connected(tmp_path, rude=rude(tmp_path)) as (tools, _):
        assert await called(tools, "structured") == {"cups": 2}
        assert await called(tools, "empty") == ""


async def test_a_session_is_opened_anew_after_the_server_has_died(tmp_path: Path) -> None:
    async with connected(tmp_path, rude=rude(tmp_path)) as (tools, opened):
        with pytest.raises(ConnectionError, match="lost during the call"):
            await called(tools, "die_once")
        assert "rude.echo" in tools  # what is being opened anew is still planned with

        assert await called(tools, "echo", text="again") == "again"
        assert opened.health()["rude"]["state"] == "ready"
        assert len(lines(tmp_path, "starts")) == 2


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("too_large", "it sent a message of more than 16 MB"),
        ("unending", "it sent a message of more than 16 MB"),
        ("no_text", "it sent bytes that are no UTF-8"),
    ],
)
async def test_a_session_ends_at_a_line_that_is_too_large_or_no_text_and_is_opened_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, reason: str
) -> None:
    async with connected(tmp_path, rude=rude(tmp_path)) as (tools, opened):
        with pytest.raises(ConnectionError, match="lost during the call"):
            await called(tools, name)
        await until(lambda: len(lines(tmp_path, "starts")) == 2)  # health tells it no longer
        await until(lambda: opened.health()["rude"]["state"] == "ready")
        assert await called(tools, "echo", text="again") == "again"
    assert f"rude is not there: {reason}" in caplog.text


async def test_what_cannot_be_sent_is_told_as_refused(tmp_path: Path) -> None:
    """A call that nobody has seen is not in doubt."""
    async with connected(tmp_path, rude=rude(tmp_path, "broken")) as (_, opened):
        one = opened._sessions["rude"]

        with pytest.raises(ConnectionRefusedError, match="'rude' is not there"):
            await one.call("pay", {"text": "rent"})
        assert lines(tmp_path, "calls") == []


async def test_a_cancelled_call_reaches_the_server_and_the_session_stays(tmp_path: Path) -> None:
    async with connected(tmp_path, rude=rude(tmp_path)) as (tools, _):
        slow = asyncio.create_task(called(tools, "slow"))
        await until(lambda: lines(tmp_path, "calls"))

        slow.cancel()
        await asyncio.wait([slow])

        assert slow.cancelled()
        await until(lambda: lines(tmp_path, "cancelled"))
        assert await called(tools, "echo", text="still") == "still"
        assert len(lines(tmp_path, "starts")) == 1


async def test_a_call_that_tells_its_progress_has_no_more_time_and_the_failure_says_how_far_it_was(
    tmp_path: Path,
) -> None:
    call = ToolCall("me", "step-1", InMemoryStore())
    async with connected(tmp_path, rude=rude(tmp_path)) as (tools, _):
        for seconds in (1, 4, 16, 64):  # a busy machine may say nothing for a while
            slow = tools["rude.slow"]
            outcome = await invoke(slow, {}, call, timeout=seconds, threads=ToolThreads(1))
            assert outcome.status == "timeout"
            assert outcome.failure is not None
            told = outcome.failure.message
            assert told.startswith(wording("tools.timeout", tool="rude.slow", seconds=seconds))
            if match := re.search(r"its last word was (\d+) of 1200, [\d.]+ s before$", told):
                assert int(match[1]) >= 1
                break
        else:
            pytest.fail(told)


async def test_calls_that_run_at_once_share_one_session(tmp_path: Path) -> None:
    async with connected(tmp_path, rude=rude(tmp_path)) as (tools, _):
        words = [str(number) for number in range(50)]

        answers = await asyncio.gather(*(called(tools, "echo", text=word) for word in words))

        assert answers == words
        assert len(lines(tmp_path, "starts")) == 1


async def test_a_failure_that_the_server_tells_has_its_words(tmp_path: Path) -> None:
    async with connected(tmp_path, rude=rude(tmp_path)) as (tools, _):
        with pytest.raises(ToolError, match="the drawer is stuck"):
            await called(tools, "fail")


async def test_a_server_that_asks_a_person_is_told_that_nobody_is_asked(tmp_path: Path) -> None:
    async with connected(tmp_path, rude=rude(tmp_path)) as (tools, _):
        with pytest.raises(ToolError, match="nobody answers: Elicitation not supported"):
            await called(tools, "ask")


async def test_an_answer_to_another_call_and_lines_that_are_no_json_are_passed_over(
    tmp_path: Path,
) -> None:
    async with connected(tmp_path, rude=rude(tmp_path)) as (tools, _):
        assert await called(tools, "wrong_id") == ""


async def test_a_picture_is_told_by_its_size_and_hash(tmp_path: Path) -> None:
    async with connected(tmp_path, rude=rude(tmp_path)) as (tools, _):
        [text, picture] = await called(tools, "image")

        assert text["type"] == "text"
        assert (picture["mime"], picture["bytes"]) == ("image/png", 5)
        assert picture["sha256"].startswith("2cf24dba")


async def test_a_change_of_the_list_is_followed(tmp_path: Path) -> None:
    async with connected(tmp_path, rude=rude(tmp_path)) as (tools, _):
        before = tools.snapshot

        (tmp_path / "description").write_text("Delete everything.")
        (tmp_path / "changed").write_text("")
        await until(lambda: tools["rude.changing"].description == "Delete everything.")

        assert before["rude.changing"].description == "Return the text."
        assert before.version != tools.snapshot.version


async def test_a_flood_of_notifications_lists_the_tools_a_few_times_only(tmp_path: Path) -> None:
    async with connected(tmp_path, rude=rude(tmp_path, "flood")) as (tools, _):
        for word in "abc":
            assert await called(tools, "echo", text=word) == word
        assert len(lines(tmp_path, "lists")) < 10


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("habits", [[], ["clings"]])
async def test_a_process_ends_with_the_session(tmp_path: Path, habits: list[str]) -> None:
    async with connected(tmp_path, rude=rude(tmp_path, *habits)):
        [pid] = lines(tmp_path, "starts")
        assert runs(pid)

    assert not runs(pid)


async def test_a_process_gets_none_of_our_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "s3cret")
    shown = "import os, sys; sys.exit(' '.join(sorted(os.environ)))"
    entry = {"command": sys.executable, "args": ["-c", shown], "env": {"GIVEN": "yes"}}

    async with connected(tmp_path, rude=entry) as (_, opened):
        reason = str(opened.health()["rude"]["reason"])

    assert "GIVEN" in reason
    assert "OPENAI_API_KEY" in os.environ
    assert "OPENAI" not in reason
