"""Exports the spans of runs by OTLP, as OpenTelemetry's own variables say (`OTEL_…`).

Only this file imports its SDK, which is an extra, and only where traces are wanted.
"""

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from http.client import responses
from importlib.metadata import version
from typing import Any, cast

from graph.record.generations import Place
from graph.runs.context import RunNotFound
from graph.state import RunState
from graph.state.status import SETTLED
from graph.storage.storage import Storage
from graph.telemetry.metrics import Metrics
from graph.telemetry.spans import Exported, Span, spans

logger = logging.getLogger("runwright.traces")

#: The standard variable by which contents are told.
CONTENTS = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"

#: So long the last spans are waited for at the end, in seconds.
FLUSH = 1.5

#: How many may wait to be sent unless a variable says otherwise: the default of the SDK.
MOST_WAITING = 2_048

#: Runs that settled within so many seconds before the last that did are told again at a start, and
#: so many at most. The SDK sends every five seconds, and tries for ten.
AGAIN, MOST_AGAIN = 60.0, 1_000

#: Of so many runs is known what was told; others are told from their beginning.
MOST_FOLLOWED = 10_000

#: Bytes of a collector's answer that are read; only its status means anything.
MOST_ANSWER = 64 * 1024

#: Variables that name a session of one's own, which is taken as it is.
OWN_SESSION = (
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER",
)

NOTHING = Exported()

#: Reads the state of a run as last stored.
Read = Callable[[str], Awaitable[RunState]]


class TracesMissing(Exception):
    """What exports traces is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "RUNWRIGHT_TRACES is set, and what exports them is not installed; `make otel` does"
        )


class TraceObserver:
    """Is shown each state of a run once it is stored, and hands over what of it is over.

    A run that it has not seen before is told from its beginning, since the process that left it may
    have ended before it could. What is told again has the same ids. It never waits.
    """

    def __init__(self, hand_over: Callable[[Span], None]) -> None:
        self._hand_over = hand_over
        self._version = version("runwright")
        self._contents = os.environ.get(CONTENTS, "").lower() == "true"
        self._exported: dict[str, Exported] = {}

    @property
    def followed(self) -> int:
        """Of how many runs it knows what was told."""
        return len(self._exported)

    def __call__(self, state: RunState) -> None:
        """Hand over the spans that are over since the last state."""
        run_id, settled = state["run_id"], state["status"] in SETTLED
        now = Exported(len(state.get("log", [])), len(state["planning_log"]))
        if state["status"] == "pending":
            # What a retry brings along was told, what a fork does, of its origin.
            if now != NOTHING:
                self._note(run_id, now)
            return
        before = self._exported.pop(run_id, NOTHING)
        if not settled:
            self._note(run_id, now)
        if settled or now != before:
            self.tell(state, before)

    def _note(self, run_id: str, exported: Exported) -> None:
        # Other processes may go on with runs: what is followed no more is the first in the order.
        self._exported[run_id] = exported
        if len(self._exported) > MOST_FOLLOWED:
            del self._exported[next(iter(self._exported))]

    def tell(self, state: RunState, after: Exported) -> None:
        """Hand over the spans of a state that are not among those told by then."""
        for span in spans(state, after=after, version=self._version, contents=self._contents):
            self._hand_over(span)


class Exporter:
    """Hands spans to OpenTelemetry's processor, which sends them in batches from its own thread.

    It holds as many as `OTEL_BSP_MAX_QUEUE_SIZE` says; those beyond are dropped, and counted.
    """

    def __init__(self, metrics: Metrics | None) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        # What the standard variables say goes first.
        attributes = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
        named = "OTEL_SERVICE_NAME" in os.environ or "service.name" in attributes
        resource = Resource.create({} if named else {"service.name": "runwright"})
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._resource = provider.resource
        self._sampler = provider.sampler
        self._metrics = metrics
        self._room = threading.Semaphore(_queue_size())
        with _quoting_nobody():
            exporter = OTLPSpanExporter(session=_session())
        self._processor = BatchSpanProcessor(_counting(exporter, metrics, self._room))

    def hand_over(self, span: Span) -> None:
        """Have it sent, unless it is not sampled or there is no room."""
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import (
            Link,
            NonRecordingSpan,
            SpanKind,
            Status,
            StatusCode,
            set_span_in_context,
        )

        called = None
        if span.place.sampled is not None:  # a sampler that asks parents is told what theirs said
            called = set_span_in_context(NonRecordingSpan(_context(span.place, remote=True)))
        sampled = self._sampler.should_sample(called, span.place.trace_id, span.name)
        if not sampled.decision.is_sampled():  # type: ignore[no-untyped-call]  # theirs
            return
        if not self._room.acquire(blocking=False):
            _count(self._metrics, "dropped")
            return
        ended = ReadableSpan(
            name=span.name,
            context=_context(span.place),
            parent=_context(span.parent) if span.parent else None,
            resource=self._resource,
            attributes=span.attributes,
            links=[Link(_context(link)) for link in span.links],
            kind=SpanKind.CLIENT if span.kind == "client" else SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(),
            start_time=int(span.start * 1e9),
            end_time=int(span.end * 1e9),
        )
        self._processor.on_end(ended)

    async def close(self) -> None:
        """Send what is left, for as long as `FLUSH`."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._processor.shutdown()  # type: ignore[no-untyped-call]  # theirs
            with suppress(RuntimeError):  # the loop has ended, and nobody waits
                loop.call_soon_threadsafe(done.set)

        # A daemon: a collector that does not answer must not keep the process.
        threading.Thread(target=shut_down, name="last spans", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH):
                await done.wait()


def _switched_off() -> bool:
    """Whether the standard variables say that nothing is exported."""
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return disabled or os.environ.get("OTEL_TRACES_EXPORTER", "").lower() == "none"


def _queue_size() -> int:
    size = os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE", "")
    return int(size) if size.isdecimal() and int(size) else MOST_WAITING


def _count(metrics: Metrics | None, outcome: str, spans: int = 1) -> None:
    if metrics:  # a command of the terminal has none
        metrics.spans.labels(outcome).inc(spans)


def _counting(exporter: Any, metrics: Metrics | None, room: threading.Semaphore) -> Any:
    """The exporter, which counts what becomes of spans and makes room for others."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Counting(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            outcome = SpanExportResult.FAILURE
            try:
                outcome = exporter.export(spans)
            finally:
                room.release(len(spans))
                result = "exported" if outcome is SpanExportResult.SUCCESS else "failed"
                _count(metrics, result, len(spans))
            return cast("SpanExportResult", outcome)

        def shutdown(self) -> None:
            exporter.shutdown()

    return Counting()


def _session() -> Any:
    """What asks collectors, or None where a variable names another one.

    The exporter alone would read an answer to its end, whether it has one or not, take it for a
    success that it is sent elsewhere, where it does not go, and log what it was answered and the
    path of the collector, which may be a secret.
    """
    if any(os.environ.get(name) for name in OWN_SESSION):
        return None
    import requests

    class Bounded(requests.Session):
        def send(self, request: Any, **how: Any) -> Any:
            try:
                with (
                    _quoting_nobody(),
                    super().send(request, **{**how, "stream": True}) as answer,
                ):
                    answer.raw.read1(MOST_ANSWER)
            except requests.RequestException as error:
                raise type(error)(type(error).__name__) from None
            if 300 <= answer.status_code < 400:
                raise requests.TooManyRedirects(f"it answered {answer.status_code}")
            answer.reason = responses.get(answer.status_code, "")
            return answer

    return Bounded()


#: Loggers that quote what a collector answers, or the headers for it, which may have a key.
_QUOTING = ("urllib3.connection", "urllib3.connectionpool", "opentelemetry.util.re")

_asking: ContextVar[bool] = ContextVar("asking", default=False)


def _without_words(record: logging.LogRecord) -> bool:
    if not _asking.get():
        return True
    record.msg, record.args = "what is sent to a collector, or comes from it, is malformed", ()
    record.exc_info = None
    return True


@contextmanager
def _quoting_nobody() -> Iterator[None]:
    """These loggers are told here that something is malformed, and not what."""
    for name in _QUOTING:
        logging.getLogger(name).addFilter(_without_words)
    asking = _asking.set(True)
    try:
        yield
    finally:
        _asking.reset(asking)


def _context(place: Place, *, remote: bool = False) -> Any:
    from opentelemetry.trace import SpanContext, TraceFlags

    sampled = not remote or place.sampled
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    return SpanContext(place.trace_id, place.span_id, is_remote=remote, trace_flags=flags)


@asynccontextmanager
async def tracing(metrics: Metrics | None, *, wanted: bool) -> AsyncIterator[TraceObserver | None]:
    """An observer that exports for as long as the context lasts; None where that is not `wanted`.

    Raises `TracesMissing`.
    """
    if not wanted or _switched_off():
        yield None
        return
    try:
        exporter = Exporter(metrics)
    except ImportError:
        raise TracesMissing from None
    try:
        yield TraceObserver(exporter.hand_over)
    finally:
        await exporter.close()


@asynccontextmanager
async def telling_again(
    observer: TraceObserver | None, storage: Storage, read: Read
) -> AsyncIterator[None]:
    """Tell once more of the runs that had settled last when the process before this one ended, or
    another one of a fleet died.

    It may have been killed before it could send them. It is done beside everything else.
    """
    if observer is None:
        yield
        return
    task = asyncio.create_task(_tell_again(observer, storage, read))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _tell_again(observer: TraceObserver, storage: Storage, read: Read) -> None:
    await _tell_settled(observer, storage, read)
    while storage.fleet:
        await storage.fleet.deaths.wait()
        storage.fleet.deaths.clear()
        await _tell_settled(observer, storage, read)


async def _tell_settled(observer: TraceObserver, storage: Storage, read: Read) -> None:
    try:
        with storage.available():
            rows = await storage.index.settled_last(AGAIN, limit=MOST_AGAIN)
        for row in rows:
            with suppress(RunNotFound):  # it was removed meanwhile
                observer.tell(await read(row.run_id), Exported())
    except Exception:
        logger.exception("the runs that had settled last could not be traced again")
