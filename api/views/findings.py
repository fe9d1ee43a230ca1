"""What is found of a server's parts, as `runwright doctor` and `GET /doctor` tell it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

from typing_extensions import TypedDict

from graph.settings import SettingValue
from graph.state.wording import counted, doc
from nodes.patterns.planner import overlapping_phrases
from tools.registry import Tool, undeclared, undeclared_words


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, and what that says. `fails` keeps a server or a model from
    it."""

    check: Annotated[str, doc("What was looked at.")]
    status: Annotated[
        Literal["ok", "warning", "fails"], doc("`fails`: a server or a model is kept from it.")
    ]
    message: Annotated[str, doc("What that says, in words.")]


class DoctorAnswer(TypedDict):
    """The server and what it is set to."""

    version: Annotated[str, doc("Version of the server.")]
    ok: Annotated[bool, doc("Whether nothing fails.")]
    checks: Annotated[list[Finding], doc("What was found.")]
    settings: Annotated[list[SettingValue], doc("Every setting.")]


def tool_findings(tools: Mapping[str, Tool]) -> Iterator[Finding]:
    """What is doubtful about tools. Raises `InvalidPhrase`."""
    for overlap in overlapping_phrases(tools):
        yield Finding("tools", "warning", str(overlap))
    if names := undeclared(tools):
        yield Finding("tools", "warning", undeclared_words(names))


def server_findings(servers: Mapping[str, Mapping[str, object]]) -> Iterator[Finding]:
    """How MCP servers do, by their names."""
    for name, server in servers.items():
        for fault in cast("list[str]", server["left_out"]):
            yield Finding("mcp", "warning", f"{name}: {fault}")
        if server["state"] == "ready":
            count = counted(cast("int", server["tools"]), "tool")
            yield Finding("mcp", "ok", f"{name}: {count}, MCP {server['protocol']}")
        else:
            yield Finding("mcp", "warning", f"{name} is not there: {server['reason']}")


def storage_finding(storage: Mapping[str, object]) -> Finding:
    """How the storage of a server does that has it open."""
    if damage := storage.get("damage"):
        return Finding("database", "fails", f"it is {damage}")
    can = "can" if storage["writable"] else "cannot"
    status: Literal["ok", "fails"] = "ok" if storage["writable"] else "fails"
    return Finding("database", status, f"{storage['backend']}, which {can} be read and written")


def model_findings(models: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """How models did when they were called last, by their names."""
    if not models:
        yield Finding("models", "ok", "none is configured; the pattern planner plans")
    for name, model in models.items():
        if model["state"] == "ok":
            yield Finding("models", "ok", f"{name}: its last call did not fail for good")
            continue
        status: Literal["fails", "warning"] = (
            "fails" if model["state"] == "misconfigured" else "warning"
        )
        words = "misconfigured" if status == "fails" else "left alone for a while"
        yield Finding("models", status, f"{name} is {words}: {model['error_class']}")
