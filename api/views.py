"""What the API answers with: shapes, described and written by pydantic from their TypedDicts.

Also what is found of a server's parts, as `runwright doctor` and `GET /doctor` tell it.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Annotated, Any, Literal, cast

from annotated_types import Ge
from fastapi import Response
from pydantic import Field, GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreConfig, CoreSchema, SchemaSerializer, to_json
from pydantic_core.core_schema import definitions_schema
from typing_extensions import TypedDict

from graph.record.events import Event
from graph.record.explain import Explanation
from graph.record.record import Record
from graph.runs.history import CheckpointView, HistoryPage, RunDiff, RunExport, RunReplay
from graph.state.wording import Time, counted, doc, rfc3339
from graph.telemetry.server import SettingValue
from nodes.fallback_plan import overlaps
from tools.loading import undeclared, undeclared_words
from tools.toolbox import Tool


class Shape:
    """A TypedDict as routes name it; it is put together at its first use, not at the import."""

    def __init__(self, kind: type) -> None:
        self._kind = kind

    def json(self, content: object) -> bytes:
        """What the shape tells of `content`, as JSON."""
        return self._serializer.to_json(content, by_alias=True, warnings=False)

    def plain(self, content: object) -> Any:
        """The same as the data that is then written."""
        return self._serializer.to_python(content, mode="json", by_alias=True, warnings=False)

    @cached_property
    def core(self) -> CoreSchema:
        """The shape as pydantic knows it."""
        return TypeAdapter(self._kind).core_schema

    @cached_property
    def _serializer(self) -> SchemaSerializer:
        return SchemaSerializer(self.core, CoreConfig(ser_json_inf_nan="strings"))

    def __get_pydantic_json_schema__(
        self, _: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        # Within definitions it is described by its name, and once.
        return handler(definitions_schema(self.core, []))


@cache
def shape(kind: type) -> Shape:
    """The shape of a TypedDict."""
    return Shape(kind)


def answered(kind: type, description: str, **more: Any) -> dict[str, Any]:
    """One of the `responses=` of a route."""
    # To FastAPI it is anything, until the document is asked for.
    return {"model": Annotated[Any, shape(kind)], "description": description, **more}


class Run(Record):
    """Everything about a run; null until known."""


class RunEvent(Event):
    """One thing that happened to a run. Its number means the same whenever it is read."""


class EventPage(TypedDict):
    """Events of a run in order, as its stream tells them."""

    events: Annotated[list[RunEvent], doc("Those after the number that was asked for.")]
    last_event_id: Annotated[
        int, Ge(1), doc("The number of the run's last event so far; there may be more to ask for.")
    ]
    ended: Annotated[
        bool, doc("Whether the run is settled: no more events follow unless it is retried.")
    ]


class Heartbeat(TypedDict):
    """The stream is alive."""

    server_time: Annotated[Time, doc("The server's clock.")]


class ExplanationAnswer(Explanation):
    """Where the time of a run went, what was done again, and why it came to its end."""


# Leaving large values out of a record, and saying so.


class Shortened(TypedDict):
    """A value that is not told whole."""

    path: Annotated[
        str,
        Field(
            description="Where it is in the record, as a JSON Pointer. A text is cut and ends with "
            "`…`; in the place of another value is `{shortened: true, bytes, start}`. "
            "`GET /runs/{run_id}/log/{n}/output` has the whole output of the n-th attempt.",
            examples=["/execution_log/0/output"],
        ),
    ]
    bytes: Annotated[int, doc("How large it is, in bytes of JSON.")]


class RunAnswer(Record):
    """Everything about a run as it is just now; null until known."""

    server_time: Annotated[Time, doc("The server's clock, to count times in the future by.")]
    shortened: Annotated[
        list[Shortened],
        doc("The values that are not told whole; none unless `max_value_bytes` is given."),
    ]


def json_answer(
    content: object,
    kind: type | None = None,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:
    """`content` as its kind has it; as it is where there is none."""
    written = shape(kind).json(content) if kind else to_json(content, inf_nan_mode="strings")
    return Response(written, status, headers, "application/json")


def run_answer(
    record: Record,
    max_value_bytes: int | None = None,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:
    """The record as `RunAnswer` documents it."""
    if max_value_bytes is None:
        return encoded_run_answer(encoded_run(record), status=status, headers=headers)
    shown, shortened = shorten(shape(Run).plain(record), max_value_bytes)
    short = {**shown, "shortened": shortened, "server_time": rfc3339(time.time())}
    return json_answer(short, None, status, headers)


def encoded_run(record: Record) -> bytes:
    """What `RunAnswer` tells of a record whenever it is asked, as JSON that is still open."""
    return shape(Run).json(record)[:-1]


def encoded_run_answer(
    encoded: bytes, *, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """A record that was encoded, as `RunAnswer` documents it."""
    asked = f',"server_time":"{rfc3339(time.time())}","shortened":[]}}'
    return Response(encoded + asked.encode(), status, headers, "application/json")


#: What a tool was given and what it returned: values of any shape, which are replaced as a whole.
_ANY_SHAPE = ("input", "output")


def shorten(record: dict[str, Any], limit: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The record with no value of more than `limit` bytes, and the list of those that had more."""
    left_out: list[dict[str, Any]] = []

    def walk(value: Any, path: str, name: str = "") -> Any:
        if name in _ANY_SHAPE or isinstance(value, str):
            written = to_json(value, inf_nan_mode="strings")
            if len(written) <= limit:
                return value
            left_out.append({"path": path, "bytes": len(written)})
            return _in_place_of(value, written, limit, cut=name not in _ANY_SHAPE)
        if isinstance(value, dict):
            return {key: walk(item, f"{path}/{_escaped(key)}", key) for key, item in value.items()}
        if isinstance(value, list):
            return [walk(item, f"{path}/{place}") for place, item in enumerate(value)]
        return value

    return walk(record, ""), left_out


def _in_place_of(value: Any, written: bytes, limit: int, *, cut: bool) -> Any:
    if cut:
        return _start(value.encode(), limit) + "…"
    text = value.encode() if isinstance(value, str) else written
    return {"shortened": True, "bytes": len(written), "start": _start(text, limit)}


def _start(text: bytes, limit: int) -> str:
    return text[:limit].decode(errors="ignore")


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


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
    for overlap in overlaps(tools):
        yield Finding("tools", "warning", overlap)
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


class History(HistoryPage):
    """Checkpoints of a run."""


class CheckpointDetail(TypedDict):
    """One checkpoint of a run with all that was stored."""

    checkpoint: Annotated[CheckpointView, doc("The checkpoint.")]
    run: Annotated[Run | None, doc("The record as it was then; null for the run's input.")]


class RunExportAnswer(RunExport):
    """A run with all that is kept of it."""


class RunReplayAnswer(RunReplay):
    """How a recorded run differs from the same run today."""


class RunDiffAnswer(RunDiff):
    """How two runs differ."""
