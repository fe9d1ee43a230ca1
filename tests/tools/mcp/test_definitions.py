"""The file of servers: what it may say, and what is told of an entry that cannot be used."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.own_tools.mcp_files import mcp_file
from tools.mcp.definitions import ServerDefinition, ServerFault, read_definitions
from tools.registry import InvalidTool

ENVIRONMENT = {"TOKEN": "s3cret", "EMPTY": ""}


def read(folder: Path, entry: Any) -> ServerDefinition | ServerFault:
    [one] = read_definitions(mcp_file(folder, files=entry), ENVIRONMENT)
    assert one.name == "files"
    return one


def definition(folder: Path, entry: Any) -> ServerDefinition:
    one = read(folder, entry)
    assert isinstance(one, ServerDefinition)
    return one


def test_a_command_is_read_with_its_variables(tmp_path: Path) -> None:
    entry = {
        "command": "${HOME_OF:-/opt}/serve",
        "args": ["--token", "${TOKEN}", "$plain"],
        "env": {"KEY": "${EMPTY:-none}"},
        "timeout": 5,
        "alwaysAllow": ["what other clients read"],
    }

    one = definition(tmp_path, entry)

    assert (one.command, one.args) == ("/opt/serve", ("--token", "s3cret", "$plain"))
    assert (one.env, one.timeout) == ({"KEY": "none"}, 5)


@pytest.mark.parametrize("kind", [{}, {"type": "http"}, {"type": "streamable-http"}])
def test_an_address_is_read_and_its_secrets_are_never_shown(
    tmp_path: Path, kind: dict[str, str]
) -> None:
    headers = {"Authorization": "Bearer ${TOKEN}"}

    one = definition(tmp_path, {"url": "https://a.example/mcp", "headers": headers, **kind})

    assert one.headers == {"Authorization": "Bearer s3cret"}
    assert "s3cret" not in repr(one)


def test_what_is_ours_says_which_tools_are_taken_and_what_holds_of_them(tmp_path: Path) -> None:
    ours = {
        "take": ["read", "write"],
        "leave": ["write"],
        "tools": {"read": {"effects": False, "attempts": 2, "phrases": ["read {path}"]}},
        "annotations": "ignore",
        "owners": ["ann"],
    }

    one = definition(tmp_path, {"command": "serve", "runwright": ours})

    assert [tool for tool in ("read", "write", "list") if one.takes(tool)] == ["read"]
    assert (one.trusted, one.owners, one.overrides["read"].effects) == (False, ("ann",), False)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("npx -y some-server", "bare text"),
        (["npx"], "should be an object"),
        ({}, "no `command`"),
        ({"type": "sse", "url": "https://a.example/sse"}, "`sse` is gone"),
        ({"type": "websocket", "url": "https://a.example"}, "'websocket' is not known"),
        ({"type": "http", "command": "serve"}, "no `url`"),
        ({"command": "serve", "url": "https://a.example"}, "both a `command` and a `url`"),
        ({"url": "file:///etc/passwd"}, "http:// or https://"),
        ({"command": "${NOT_SET}"}, "`command` needs the variable NOT_SET"),
        ({"command": "a", "env": {"KEY": "${EMPTY}"}}, "`env.KEY` needs the variable EMPTY"),
        ({"command": "a", "args": "b"}, "`args`"),
        ({"command": "a", "timeout": 0}, "`timeout`"),
        ({"command": "a", "runwright": {"tool": {}}}, "`runwright.tool`"),
        ({"command": "a", "runwright": {"tools": {"x": {"effect": True}}}}, "tools.x.effect"),
    ],
)
def test_an_entry_that_names_no_server_is_told_in_one_sentence(
    tmp_path: Path, entry: Any, told: str
) -> None:
    one = read(tmp_path, entry)

    assert isinstance(one, ServerFault)
    assert told in one.reason
    assert "\n" not in one.reason
    assert "s3cret" not in one.reason


def test_one_bad_entry_leaves_the_others_alone(tmp_path: Path) -> None:
    file = mcp_file(tmp_path, a={"command": "a"}, b="b", c={"command": "c", "disabled": True})

    assert [type(one) for one in read_definitions(file)] == [ServerDefinition, ServerFault]


@pytest.mark.parametrize("name", ["a.b", "two words", "", "x" * 41])
def test_a_name_of_a_server_can_begin_the_names_of_its_tools(tmp_path: Path, name: str) -> None:
    [one] = read_definitions(mcp_file(tmp_path, **{name: {"command": "a"}}))

    assert isinstance(one, ServerFault)
    assert "its name" in one.reason


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"servers": {}}', "`servers`; the name is `mcpServers`"),
        ("{}", "no `mcpServers`"),
        ("[]", "should hold"),
        ('{"mcpServers": []}', "should be an object"),
        ("{", "is not JSON"),
    ],
)
def test_a_file_without_servers_is_refused(tmp_path: Path, content: str, told: str) -> None:
    file = tmp_path / "mcp.json"
    file.write_text(content)

    with pytest.raises(InvalidTool, match=told):
        read_definitions(file)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidTool, match="cannot be read: No such file"):
        read_definitions(tmp_path / "none.json")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "mcp.json"
    file.write_bytes(json.dumps({"mcpServers": {"ä": {}}}, ensure_ascii=False).encode("latin-1"))

    with pytest.raises(InvalidTool, match="no UTF-8"):
        read_definitions(file)
