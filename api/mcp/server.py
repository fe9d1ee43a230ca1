"""The server as the SDK knows it: its tools and resources, over any transport."""

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache, cached_property
from importlib.metadata import version
from typing import Any

from fastapi import Request
from mcp.server import Server, ServerRequestContext
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextContent,
    TextResourceContents,
    Tool,
    ToolAnnotations,
)
from pydantic import TypeAdapter
from sse_starlette.sse import AppStatus
from starlette.types import ASGIApp

from api.errors.problems import problem
from api.mcp.calls import Caller, Report, RunReport, uri_of
from api.mcp.tools import TOOLS, Deeds, GivenUp, Hints, call_own, own_tools
from graph.runs.context import RunNotFound
from graph.service import Runs
from graph.storage.search import Search
from tools.toolbox import Tool as OwnTool

Context = ServerRequestContext[Any, Any]

#: Who calls, by what came with the request.
WhoCalls = Callable[[Context], Caller]

#: What the 2025 era answers to a request that was given up; nobody waits for it.
REQUEST_CANCELLED = -32800

INSTRUCTIONS = (
    "Runs of tasks in plain words. `run` does one and waits for it; `start_run` and `get_run` are"
    " for long ones. A run whose status is `waiting` asks a person."
)

#: What is told beside the description of a tool that is offered by itself.
BY_ITSELF = (
    "The call is recorded as a run, and attempted again where that is safe; `result.output` is what"
    " the tool returns."
)

#: So many of the newest runs are listed as resources, and so much of what was asked names one.
LISTED, TITLE = 50, 80

_JSON = "application/json"


def make_server(deeds: Deeds, who_calls: WhoCalls, *, each_tool: bool = False) -> Server[Any]:
    """The server over some runs; `who_calls` says of each request whose it is.

    With `each_tool` every tool of this process is offered by itself too.
    """
    shelf = _Shelf(deeds, who_calls, own_tools(deeds.runs) if each_tool else {})
    return named_server(
        on_list_tools=shelf.list_tools,
        on_call_tool=shelf.call,
        on_list_resources=shelf.list,
        on_list_resource_templates=_list_templates,
        on_read_resource=shelf.read,
    )


def named_server(**answers: Any) -> Server[Any]:
    """The server that says what it is, with these answers."""
    return Server(
        "runwright",
        version=version("runwright"),
        title="Runwright",
        instructions=INSTRUCTIONS,
        get_tool_input_schema=lambda _: None,  # no part of an input comes in a header
        **answers,
    )


@asynccontextmanager
async def open_http(
    runs: Runs, caller: Callable[[Request, Report], Caller], *, each_tool: bool
) -> AsyncIterator[ASGIApp]:
    """The server over streamable HTTP, without sessions; `caller` says who has made a request.

    `each_tool` as `make_server` has it.
    """

    def who_calls(context: Context) -> Caller:
        request: Request = context.request  # type: ignore[assignment]  # over HTTP there is one
        return caller(request, context.session.report_progress)

    # Else what the SDK streams with ends all streams half a second after a signal, answered or not.
    AppStatus.enable_automatic_graceful_drain = False
    deeds = Deeds(runs)
    # Bodies are limited, and hosts and origins checked, before they come here.
    server = make_server(deeds, who_calls, each_tool=each_tool)
    streams = StreamableHTTPSessionManager(
        server, stateless=True, max_request_body_size=sys.maxsize
    )
    async with streams.run():
        yield streams.handle_request
    await deeds.close()


@cache
def described_tools() -> Sequence[Tool]:
    """The tools as clients are told of them; made once, which takes a tenth of a second."""
    return [
        Tool(
            name=name,
            title=tool.title,
            description=tool.description,
            input_schema=_without({"title"}, tool.takes.model_json_schema()),
            output_schema=_schema_of(tool.answers),
            annotations=_annotations(tool.hints),
        )
        for name, tool in TOOLS.items()
    ]


def _described_own(name: str, tool: OwnTool) -> Tool:
    # Nothing is known of how far it reaches, nor whether it overwrites. `idempotent` is said of one
    # step: a second call is another, and adds a second to-do.
    hints = Hints(not tool.effects, tool.effects, idempotent=False, open_world=True)
    return Tool(
        name=name,
        description=f"{tool.description}\n\n{BY_ITSELF}",
        input_schema=tool.json_schema,
        output_schema=_schema_of(RunReport),
        annotations=_annotations(hints),
    )


@cache
def _schema_of(answers: type) -> dict[str, Any]:
    """What an answer is checked by. The words about its parts, which are the half of it, are in the
    description of `/runs/{run_id}`: a list of tools is encoded whenever somebody asks for it. There
    are the parts of a round, too, which clients read in the record if at all.
    """
    schema = TypeAdapter(answers).json_schema(mode="serialization")
    schema = dict(_without({"title", "description", "examples"}, schema))
    defined = schema.get("$defs", {})
    if "Round" in defined:
        defined["Round"] = {"type": "object"}
    while left := [name for name in defined if f"#/$defs/{name}" not in _references(schema)]:
        for name in left:
            del defined[name]
    return schema


def _references(schema: Any) -> set[str]:
    """What a schema refers to."""
    if isinstance(schema, list):
        return {found for one in schema for found in _references(one)}
    if not isinstance(schema, dict):
        return set()
    own = {schema["$ref"]} if isinstance(schema.get("$ref"), str) else set()
    return own | {found for one in schema.values() for found in _references(one)}


#: Where a schema has names of ours instead of words of JSON Schema.
_NAMES = ("$defs", "properties")


def _without(words: Collection[str], schema: Any) -> Any:
    """The schema without these words, by which nothing is checked."""
    if isinstance(schema, list):
        return [_without(words, one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        word: {name: _without(words, one) for name, one in value.items()}
        if word in _NAMES
        else _without(words, value)
        for word, value in schema.items()
        if word not in words
    }


def _annotations(hints: Hints) -> ToolAnnotations:
    if hints.reads_only:  # of which the other two say nothing
        return ToolAnnotations(read_only_hint=True, open_world_hint=hints.open_world)
    return ToolAnnotations(
        read_only_hint=False,
        destructive_hint=hints.destructive,
        idempotent_hint=hints.idempotent,
        open_world_hint=hints.open_world,
    )


async def _list_templates(
    _: Context, __: PaginatedRequestParams | None
) -> ListResourceTemplatesResult:
    template = ResourceTemplate(
        name="run",
        title="A run",
        uri_template=uri_of("{id}"),
        description="The whole record of a run: plan, attempts, errors, usage and result.",
        mime_type=_JSON,
    )
    return ListResourceTemplatesResult(resource_templates=[template])


class _Shelf:
    """What is asked of the runs of a caller."""

    def __init__(self, deeds: Deeds, who_calls: WhoCalls, own: Mapping[str, OwnTool]) -> None:
        self._deeds = deeds
        self._who_calls = who_calls
        self._own = own

    async def list_tools(self, _: Context, __: PaginatedRequestParams | None) -> dict[str, Any]:
        """What may be done with runs, and the tools that are offered by themselves."""
        return self._listed

    @cached_property
    def _listed(self) -> dict[str, Any]:
        own = [_described_own(name, tool) for name, tool in self._own.items()]
        listed = ListToolsResult(tools=[*described_tools(), *own])
        return listed.model_dump(mode="json", by_alias=True, exclude_none=True)

    async def call(self, context: Context, asked: CallToolRequestParams) -> CallToolResult:
        """Call a tool; what goes wrong is told in the words of the table of problems."""
        given = asked.arguments or {}
        if (tool := TOOLS.get(asked.name)) is None and asked.name not in self._own:
            known = ", ".join([*TOOLS, *self._own])
            message = f"There is no tool {asked.name[:100]!r}; there are {known}."
            raise MCPError(INVALID_PARAMS, message)
        caller = self._who_calls(context)
        try:
            if tool is None:
                answer = await call_own(self._deeds, caller, asked.name, given)
            else:
                answer = await tool.call(self._deeds, caller, given)
        except GivenUp:
            raise MCPError(REQUEST_CANCELLED, "Request cancelled") from None
        except Exception as error:
            return failure(problem_of(error, asked.name, given))
        return CallToolResult(content=[_text(json.dumps(answer))], structured_content=answer)

    async def list(self, context: Context, _: PaginatedRequestParams | None) -> ListResourcesResult:
        """The newest runs."""
        caller = self._who_calls(context)
        page = await self._asked(self._deeds.runs.search(caller.owner, Search(limit=LISTED)))
        return ListResourcesResult(
            resources=[
                Resource(
                    name=one["run_id"],
                    title=one["prompt"][:TITLE],
                    uri=uri_of(one["run_id"]),
                    description=f"{one['status']}, accepted {one['created_at']}",
                    mime_type=_JSON,
                )
                for one in page["runs"]
            ]
        )

    async def read(self, context: Context, asked: ReadResourceRequestParams) -> ReadResourceResult:
        """The record of a run."""
        uri = str(asked.uri)
        run_id = uri.removeprefix(uri_of(""))
        missing = RunNotFound(run_id)
        if uri_of(run_id) != uri:
            raise _refused(missing, uri)
        caller = self._who_calls(context)
        record = await self._asked(self._deeds.record(caller, run_id), uri)
        text = TextResourceContents(uri=uri, mime_type=_JSON, text=record.decode())
        return ReadResourceResult(contents=[text])

    async def _asked(self, asking: Awaitable[Any], uri: str = "") -> Any:
        try:
            return await asking
        except Exception as error:
            raise _refused(error, uri) from None


def _refused(error: Exception, uri: str) -> MCPError:
    return MCPError(INVALID_PARAMS, problem_of(error, "resource", {})["detail"], {"uri": uri})


def problem_of(error: Exception, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What HTTP would answer to the same; a fault of ours is logged, and told without its text."""
    # The words about what may have been stored go by the end of a path.
    act = arguments.get("decision", name) if name == "approve_run" else name.partition("_")[0]
    path = f"/mcp/{name}/{act}"
    scope = {"type": "http", "method": "POST", "path": path, "headers": [], "query_string": b""}
    return problem(Request(scope), error)[1]


def failure(body: Mapping[str, Any]) -> CallToolResult:
    """The result of a call that did not do what was asked."""
    return CallToolResult(
        content=[_text(str(body["detail"]))], structured_content=dict(body), is_error=True
    )


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)
