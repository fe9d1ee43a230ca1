"""What a server lists becomes tools: their names, schemas, and what their hints declare."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from mcp.types import Tool as Listed
from mcp.types import ToolAnnotations

from tests.support.own_tools.mcp_files import connected, mcp_file, rude
from tests.support.patience import patience, until
from tools.mcp import listing
from tools.mcp.definitions import ServerDefinition
from tools.mcp.listing import SchemaTool, check_schema, hints_of, tools_of
from tools.mcp.sessions import open_servers
from tools.registry import make_tools, tool
from tools.schema_budget import Budget
from tools.toolbox import Toolbox, snapshot


@pytest.mark.parametrize(
    ("said", "effects", "idempotent", "declared"),
    [
        (None, True, False, False),
        ({}, True, False, False),
        ({"read_only_hint": True}, False, True, True),
        ({"idempotent_hint": True}, True, True, True),
        ({"read_only_hint": False, "destructive_hint": False}, True, False, True),
        ({"destructive_hint": True, "idempotent_hint": False}, True, False, True),
        ({"open_world_hint": True}, True, False, False),
    ],
)
def test_hints_become_declarations(
    said: dict[str, Any] | None, effects: bool, idempotent: bool, declared: bool
) -> None:
    hints = hints_of(None if said is None else ToolAnnotations(**said))

    assert (hints.effects, hints.idempotent, hints.declared) == (effects, idempotent, declared)


async def test_the_file_beats_the_hints_and_may_ignore_all(tmp_path: Path) -> None:
    overrides = {"pay": {"effects": False, "attempts": 7}, "echo": {"timeout": 3}}
    servers = {
        "a": rude(tmp_path, tools=overrides),
        "b": rude(tmp_path, annotations="ignore"),
    }
    async with connected(tmp_path, **servers) as (tools, _):
        assert (tools["a.pay"].effects, tools["a.pay"].attempts) == (False, 7)
        assert (tools["a.echo"].effects, tools["a.echo"].timeout) == (False, 3)
        assert (tools["b.echo"].effects, tools["b.echo"].idempotent) == (True, False)


async def test_one_bad_schema_costs_one_tool(tmp_path: Path) -> None:
    async with connected(tmp_path, rude=rude(tmp_path, "schemas")) as (tools, opened):
        left_out = " ".join(opened.health()["rude"]["left_out"])

        assert {"rude.echo", "rude.tree", "rude.pay"} <= {*tools}
        for name in ("endless", "doubling", "unknown", "elsewhere", "list", "two words", "echo"):
            assert f"rude.{name} is left out" in left_out
        assert not {"rude.endless", "rude.list"} & {*tools}


async def test_schemas_are_checked_beside_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may take long, and there may be a thousand of them."""
    threads = set()

    def checked(schema: Any, whole: Budget) -> Any:
        threads.add(threading.current_thread())
        return check_schema(schema, whole)

    monkeypatch.setattr(listing, "check_schema", checked)
    async with connected(tmp_path, rude=rude(tmp_path)):
        assert threads
        assert threading.current_thread() not in threads


async def test_the_check_of_a_listing_ends_with_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, closing, checks = threading.Event(), threading.Event(), []

    def checked(schema: Any, whole: Budget) -> Any:
        checks.append(schema)
        begun.set()
        assert closing.wait(patience())
        return check_schema(schema, whole)

    monkeypatch.setattr(listing, "check_schema", checked)
    async with open_servers(mcp_file(tmp_path, rude=rude(tmp_path)), Toolbox({})) as opened:
        await asyncio.to_thread(begun.wait, patience())
        ending = asyncio.create_task(opened.close())
        await until(opened._sessions["rude"].is_ending)
        closing.set()
        await ending

    assert len(checks) == 1


def test_the_schemas_of_a_listing_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left out is told with the reason."""
    monkeypatch.setattr(listing, "MAX_LISTING_STEPS", 10_000)
    large: Any = {"type": "object", "allOf": [{}] * 1_500}  # some 3,500 steps each
    listed = [Listed(name=f"large{number}", input_schema=large) for number in range(5)]
    listed.append(Listed(name="small", input_schema={"type": "object"}))

    async def call(*_: Any) -> None:
        raise NotImplementedError

    made, faults = tools_of(ServerDefinition("many", command="x"), listed, call, {})

    assert [*made] == ["many.large0", "many.large1"]
    left_out = [fault.partition(" is")[0] for fault in faults]
    assert left_out == ["many.large2", "many.large3", "many.large4", "many.small"]
    assert all("the schemas of all tools of the server" in fault for fault in faults)


async def test_names_have_no_power_over_a_terminal_or_a_line_of_a_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(
        tmp_path, rude=rude(tmp_path, "escapes"), other=rude(tmp_path, "paints")
    ) as (_, opened):
        health = opened.health()

    told = [*health["rude"]["left_out"], *caplog.messages, str(health["other"]["reason"])]
    assert len(health["rude"]["left_out"]) == 2
    assert all("painted" in one or "none" in one for one in told)
    assert all(one.isprintable() for one in told)


async def test_a_name_that_is_taken_stays_with_who_has_it(tmp_path: Path) -> None:
    @tool("rude.echo", effects=False)
    def own(text: str) -> str:
        """Be our own."""
        return text

    async with connected(tmp_path, make_tools([own]), rude=rude(tmp_path)) as (tools, opened):
        assert tools["rude.echo"].server is None
        assert "rude.echo is left out" in opened.health()["rude"]["left_out"][0]
        assert "rude.pay" in tools


async def test_tools_are_taken_and_left_and_a_name_that_is_not_there_is_told(
    tmp_path: Path,
) -> None:
    entry = rude(tmp_path, take=["echo", "pay", "nothing"], leave=["pay"])

    async with connected(tmp_path, rude=entry) as (tools, opened):
        assert [*tools] == ["rude.echo"]
        assert "'nothing'" in opened.health()["rude"]["left_out"][0]


async def test_a_server_of_some_owners_is_there_for_them_only(tmp_path: Path) -> None:
    entry = rude(tmp_path, owners=["ann"])

    async with connected(tmp_path, rude=entry) as (tools, _):
        assert "rude.echo" in snapshot(tools, "ann")
        assert "rude.echo" in snapshot(tools, None)
        assert "rude.echo" not in snapshot(tools, "bob")
        assert snapshot(tools, "bob") is snapshot(tools, "eve")


SCHEMA = {
    "type": "object",
    "properties": {
        "path": {"type": "string", "minLength": 1},
        "lines": {"type": "integer", "minimum": 1},
        "share": {"anyOf": [{"type": "number"}, {"type": "null"}]},
    },
    "required": ["path"],
    "additionalProperties": False,
}


def schema_tool() -> SchemaTool:
    async def read(**arguments: Any) -> Any:
        return arguments

    return SchemaTool(
        name="files.read", description="Read.", args_schema=check_schema(SCHEMA), coroutine=read
    )


def test_a_schema_is_kept_as_it_is() -> None:
    assert schema_tool().json_schema == SCHEMA


@pytest.mark.parametrize(
    ("value", "place", "kind"),
    [
        ({}, ("path",), "missing"),
        ({"path": "a", "other": 1}, ("other",), "extra_forbidden"),
        ({"path": ""}, ("path",), "minLength"),
        ({"path": "a", "lines": "b"}, ("lines",), "type"),
    ],
)
def test_an_input_is_held_to_the_schema(
    value: dict[str, Any], place: tuple[str, ...], kind: str
) -> None:
    [fault] = schema_tool().faults(value)

    assert (fault.place, fault.kind) == (place, kind)


def test_each_missing_argument_is_told_by_its_name() -> None:
    schema = {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a", "b"]}
    made = schema_tool().model_copy(update={"args_schema": schema})
    made.model_post_init(None)

    assert [fault.place for fault in made.faults({})] == [("a",), ("b",)]


def test_numbers_are_known_to_phrases() -> None:
    parameters = schema_tool().parameters

    assert parameters["path"].required
    assert [parameters[name].number for name in SCHEMA["properties"]] == [None, int, float]  # type: ignore[attr-defined]
