"""The server as it is shown: how it does, its settings, its graph, and the lines of its log.

How it does is its storage, models, runs and tools' servers, and the metrics of all. The drawing of
a compiled graph is mermaid always, SVG and PNG where the extra is installed. Lines of the log have
one form for people, one for machines; what a line is about comes as fields.
"""

import asyncio
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from textwrap import indent
from traceback import format_tb
from typing import Annotated, Any, Literal, get_args, get_origin

from langchain_core.runnables.graph import Edge, Graph
from typing_extensions import TypedDict

from graph.build import RunGraph
from graph.queue.executor import CURRENT, Executor
from graph.queue.fair import Load
from graph.queue.share import ModelCalls
from graph.queue.worker import LEASE
from graph.record.generations import trace_id_of
from graph.runs.context import RunContext
from graph.runs.live import LiveRun
from graph.settings import PREFIX, Settings
from graph.state.status import UNSETTLED
from graph.state.wording import doc, printable, rfc3339, text_of
from graph.storage.storage import Storage, Unsettled
from graph.telemetry.metrics import Metrics
from nodes.planning.model import ModelLadder

#: How long a probe of the storage may take, in seconds.
CHECK_TIMEOUT = 1.0


#: How each MCP server does, by its name.
Servers = Callable[[], Mapping[str, Mapping[str, object]]]


class Health:
    """Looks at the storage when it is asked, and at what the last calls of the models told."""

    def __init__(
        self,
        storage: Storage,
        executor: Executor,
        ladder: ModelLadder | None,
        calls: ModelCalls | None,
        servers: Servers = dict,
    ) -> None:
        self._storage = storage
        self._executor = executor
        self._ladder = ladder
        self._calls = calls or ModelCalls(1)
        self._servers = servers

    def runs(self, owner: str | None) -> Load:
        """How many runs of the owner are under way and how many wait."""
        return self._executor.load(owner)

    def models(self, owner: str | None) -> Mapping[str, Mapping[str, object]]:
        """How each configured model does, and how many calls for the owner are under way and wait
        for their turn; empty without models."""
        states = self._ladder.breaker.state() if self._ladder else {}
        loads = {name: self._calls.load(name, owner) for name in states}
        return {
            name: {**state, "calls": loads[name][0], "queued": loads[name][1]}
            for name, state in states.items()
        }

    def servers(self) -> Mapping[str, Mapping[str, object]]:
        """How each MCP server does that the operator's file names."""
        return self._servers()

    async def workers(self) -> int | None:
        """How many processes execute the runs of a database that is shared, else None.

        Raises `StorageUnavailable`.
        """
        if self._storage.fleet is None:
            return None
        with self._storage.available():
            return await self._storage.fleet.jobs.workers(LEASE)

    async def storage(self) -> dict[str, object]:
        """The backend, whether it can be read and written just now, and what is to be done if it
        is damaged."""
        unavailable: tuple[type[Exception], ...] = (TimeoutError, *self._storage.errors)
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                await self._storage.check()
            writable = True
        except unavailable as error:
            self._storage.faults.tell(error)
            writable = False
        state: dict[str, object] = {"backend": self._storage.backend, "writable": writable}
        if damage := self._storage.faults.damage:
            state |= {"writable": False, "damage": damage}
        return state


class Scrape:
    """Sets the gauges of one process and writes all metrics."""

    def __init__(
        self,
        metrics: Metrics,
        context: RunContext,
        ladder: ModelLadder | None = None,
        calls: ModelCalls | None = None,
        servers: Servers = dict,
    ) -> None:
        self.metrics = metrics
        self._context = context
        self._ladder = ladder
        self._calls = calls
        self._servers = servers

    async def text(self) -> bytes:
        """In Prometheus' text format; where the storage does not answer, without what it has."""
        metrics, storage = self.metrics, self._context.storage
        self._set_queue()
        try:
            if storage.fleet:
                metrics.queued.inc(await storage.fleet.jobs.waiting(due=True))
            self._set_runs(await storage.index.count_unsettled())
            for part, size in storage.sizes().items():
                metrics.storage_bytes.labels(part).set(size)
        except storage.errors as error:
            storage.faults.tell(error)
        self._set_models()
        for name, server in self._servers().items():
            metrics.servers.labels(metrics.names.bounded(name)).set(server["state"] == "ok")
        return metrics.text()

    def _set_runs(self, found: Unsettled) -> None:
        for status in UNSETTLED:
            self.metrics.runs.labels(status).set(found.counts.get(status, 0))
        oldest = found.oldest
        self.metrics.oldest.set(0 if oldest is None else max(0.0, time.time() - oldest))

    def _set_queue(self) -> None:
        metrics, load = self.metrics, self._context.executor.load()
        metrics.queued.set(load["queued"])
        metrics.in_flight.set(load["in_flight"])
        metrics.max_in_flight.set(load["max_in_flight"])
        metrics.slots_used.set(load["executing"])
        metrics.slots.set(load["max_executing"])
        metrics.backoff.set(load["backoff"])
        metrics.watchers.set(self._context.broadcaster.watchers)

    def _set_models(self) -> None:
        states: Mapping[str, Mapping[str, object]] = {}
        if self._ladder:
            states = self._ladder.breaker.state()
        for name, state in states.items():
            for one in ("ok", "open", "misconfigured"):
                self.metrics.model_state.labels(name, one).set(state["state"] == one)
            if self._calls:
                under_way, waiting = self._calls.load(name)
                self.metrics.model_in_flight.labels(name).set(under_way)
                self.metrics.model_queued.labels(name).set(waiting)


class SettingValue(TypedDict):
    """A setting, as far as it may be told to who uses the server."""

    name: Annotated[str, doc("The variable that sets it.")]
    description: Annotated[str, doc("What it is.")]
    given: Annotated[bool, doc("Whether the variable is set; else it has its default.")]
    value: Annotated[
        float | bool | str | None,
        doc("A number, a choice, or yes or no; null where it is none, and of all others."),
    ]


def setting_values(settings: Settings) -> list[SettingValue]:
    """Every setting. Texts and lists are not told, since they may hold names, places and keys."""
    return [
        SettingValue(
            name=f"{PREFIX}{name.upper()}",
            description=field.description or "",
            given=name in settings.model_fields_set,
            value=value if isinstance(value, int | float) or _is_choice(field.annotation) else None,
        )
        for name, field in Settings.model_fields.items()
        for value in [getattr(settings, name)]
    ]


def _is_choice(annotation: Any) -> bool:
    return get_origin(annotation) is Literal or any(map(_is_choice, get_args(annotation)))


#: How long Graphviz may take, in seconds; it takes a fraction of one.
TIMEOUT = 30.0

#: Reads DOT, writes the picture. A process of its own, since Graphviz tells the standard error
#: what it thinks of the machine's fonts.
_RENDER = """
import sys, pygraphviz
graph = pygraphviz.AGraph(string=sys.stdin.read())
sys.stdout.buffer.write(graph.draw(format=sys.argv[1], prog="dot"))
"""

_STYLE = """\
  bgcolor="white"
  node [shape=box style="rounded,filled" fillcolor="#f2f0ff" color="#8a80c8"
        fontname="Helvetica,Arial,sans-serif" fontsize=12]
  edge [color="#555555" fontname="Helvetica,Arial,sans-serif" fontsize=10]"""


class DrawingUnavailable(Exception):
    """There is no picture to be had here; the message says what is missing."""


@dataclass(frozen=True)
class Drawing:
    """One graph, drawn; as the last value of a cell it is a picture, and never asks the network.

    `mermaid` and `dot` are text for others to render.
    """

    mermaid: str
    dot: str

    def svg(self) -> str:
        """The picture as SVG, ready to be put into a page. Raises `DrawingUnavailable`."""
        svg = self._rendered("svg").decode()
        return svg[svg.index("<svg") :]  # without the XML declaration

    def png(self) -> bytes:
        """The picture as PNG. Raises `DrawingUnavailable`."""
        return self._rendered("png")

    def __str__(self) -> str:
        return self.mermaid

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """What a notebook shows: the picture, or else mermaid for the front end to render."""
        bundle = {"text/plain": self.mermaid, "text/markdown": f"```mermaid\n{self.mermaid}```"}
        if can_render():
            bundle["image/svg+xml"] = self.svg()
        return bundle

    def _rendered(self, form: Literal["svg", "png"]) -> bytes:
        if not can_render():
            raise DrawingUnavailable(
                "pictures need the extra: pip install 'runwright[drawing]' (in a clone, pip install"
                " -e '.[drawing]'); .mermaid and .dot do without"
            )
        done = subprocess.run(  # noqa: S603 - our own interpreter and text
            [sys.executable, "-P", "-c", _RENDER, form],
            input=self.dot.encode(),
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
        if done.returncode:
            raise DrawingUnavailable(f"Graphviz failed: {done.stderr.decode(errors='replace')}")
        return done.stdout


def draw(graph: RunGraph) -> Drawing:
    """The drawing of a graph: every node, and every edge that a run can take (dashed: one of
    several)."""
    drawable = graph.get_graph()
    return Drawing(mermaid=drawable.draw_mermaid(), dot=_dot(drawable))


def can_render() -> bool:
    """Whether the extra for pictures is installed."""
    return find_spec("pygraphviz") is not None


def _dot(drawable: Graph) -> str:
    ends = {node.id for node in (drawable.first_node(), drawable.last_node()) if node}
    nodes = [
        f"  {_quoted(name)}{_attributes({'shape': 'oval'} if name in ends else {})}"
        for name in drawable.nodes
    ]
    edges = [
        f"  {_quoted(edge.source)} -> {_quoted(edge.target)}{_attributes(_line(edge))}"
        for edge in drawable.edges
    ]
    return "\n".join(["digraph {", _STYLE, *nodes, *edges, "}", ""])


def _line(edge: Edge) -> dict[str, Any]:
    style = {"style": "dashed"} if edge.conditional else {}
    return style if edge.data is None else style | {"label": edge.data}


def _attributes(given: Mapping[str, Any]) -> str:
    listed = " ".join(f"{name}={_quoted(str(value))}" for name, value in given.items())
    return f" [{listed}]" if listed else ""


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


#: What every record has, and what says something of the line: no fields of what it is about.
_NO_FIELDS = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "quotes"}


class AboutRuns(logging.Filter):
    """Adds `run_id` and `trace_id` to every line that is logged while a run is executed.

    Also to those of its tools, models and threads; what a line says itself stays.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Called by the handler; always true."""
        job = CURRENT.get(None)
        if isinstance(job, LiveRun) and getattr(record, "run_id", job.run_id) == job.run_id:
            record.run_id = job.run_id
            if not hasattr(record, "trace_id"):
                seen = None if job.trace_id else job.seen
                record.trace_id = trace_id_of(seen) if seen else job.trace_id
        return True


class TextFormatter(logging.Formatter):
    """`2026-11-22T12:00:00.000Z info run completed run_id=…`."""

    def format(self, record: logging.LogRecord) -> str:
        words = [rfc3339(record.created), record.levelname.lower(), printable(record.getMessage())]
        words += [f"{name}={_value(value)}" for name, value in _fields(record).items()]
        line = " ".join(words)
        if record.exc_info:  # indented, so that no line of it can pass for one of the log
            trace = printable(_traceback(self, record), keep="\n")
            line += "\n" + indent(trace, "    ", lambda _: True)
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object a line, as `docs/doors/logs.schema.json` describes it."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = _traceback(self, record)
        return json.dumps(line, default=str).replace("\x7f", "\\u007f")


def configure_logging(form: Literal["text", "json"], level: str) -> None:
    """Send every log line of this process to standard error in one form."""
    # No line names them, and each would be looked up for every line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(AboutRuns())
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("runwright").setLevel(level.upper())


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """Without its words, unless debugged, where these may quote the input of a tool (`quotes`)."""
    assert isinstance(record.exc_info, tuple)
    kind, _, trace = record.exc_info
    debugged = logging.getLogger("runwright").isEnabledFor(logging.DEBUG)
    if kind is None or debugged or not getattr(record, "quotes", False):
        return formatter.formatException(record.exc_info)
    lines = ["Traceback (most recent call last):\n", *format_tb(trace), kind.__qualname__]
    return "".join(lines)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(record).items()
        if value is not None and name not in _NO_FIELDS
    }


def _value(value: Any) -> str:
    text = text_of(value)
    # A value with spaces or line ends is quoted, so that it can neither split nor forge a line.
    if text.isprintable() and " " not in text and text:
        return text
    return json.dumps(text).replace("\x7f", "\\u007f")  # which JSON leaves as it is
