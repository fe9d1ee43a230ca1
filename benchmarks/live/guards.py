"""What guards and metrics cost by themselves: of a request that does nothing, and of a run."""

import asyncio
import logging
import os
import time
from types import SimpleNamespace
from typing import Any

from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.middleware.access import Authentication, CountedTime, Loopback, RefusedTurns, Turns
from api.middleware.guards import BodyLimit, CountedRequests, StreamLimit
from graph.queue.share import LoopShare
from graph.runs.live import Observe
from graph.settings.configured import KeyRing, new_key
from graph.telemetry.metrics import Metrics, RunObserver, together
from graph.telemetry.traces import Exporter, TraceObserver
from tests.support.runs.run_states import attempted, completed, planned, queued

CALLS = 20_000


def measure() -> dict[str, float]:
    """CPU of Host, Origin, key, turn, size of the body and number of streams, by request, in µs."""
    key, kept = new_key("me")
    share = LoopShare()
    guarded: ASGIApp = StreamLimit(_nothing, per_owner=300)
    guarded = BodyLimit(guarded, 64 * 1024)
    guarded = Turns(guarded, share)
    guarded = Authentication(guarded, KeyRing([kept]))
    guarded = CountedTime(RefusedTurns(Loopback(guarded), share), share)
    head = [(b"host", b"127.0.0.1:8000"), (b"accept", b"*/*"), (b"x-api-key", key.encode())]
    body = [(b"content-type", b"application/json"), (b"content-length", b"20")]
    calls = {
        "GET": {"method": "GET", "path": "/runs", "headers": head},
        "POST": {"method": "POST", "path": "/runs", "headers": [*head, *body]},
    }
    found = {
        f"guards of a {name}, µs": _cpu(guarded, scope) - _cpu(_nothing, scope)
        for name, scope in calls.items()
    }
    metrics = Metrics()
    app = Starlette()
    app.state.runs = SimpleNamespace(metrics=SimpleNamespace(metrics=metrics))
    scope = {**calls["GET"], "app": app}
    cost = _cpu(CountedRequests(_answering), scope) - _cpu(_answering, scope)
    count = RunObserver(metrics, since=0.0)
    return found | {
        "count of a request, µs": cost,
        "count of a run, µs": _observed(count),
        "count and spans of a run, µs": _observed(together([count, *_traced(metrics)], metrics)),
    }


def _traced(metrics: Metrics) -> list[Observe]:
    """What hands spans over to an exporter that has nobody to send them to."""
    # Room for all of them: one that is dropped costs less.
    os.environ |= {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_BSP_MAX_QUEUE_SIZE": str(100 * CALLS),
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
    }
    logging.disable(logging.CRITICAL)  # which the exporter says
    return [TraceObserver(Exporter(metrics).hand_over)]


def _observed(observe: Observe) -> float:
    """CPU of the event loop's thread for counting a run of two steps, in µs."""
    course = [queued("say hello", run_id="")]
    course.append(planned(course[-1]))
    course.append(attempted(course[-1]))
    course.append(attempted(course[-1]))
    course.append(completed(course[-1]))
    began = time.thread_time()
    for number in range(CALLS // 10):
        for state in course:
            observe({**state, "run_id": str(number)})
    return (time.thread_time() - began) / (CALLS // 10) * 1e6


async def _answering(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


def _cpu(app: ASGIApp, call: dict[str, Any]) -> float:
    async def ask() -> float:
        began = time.process_time()
        for _ in range(CALLS):
            await app({"type": "http", **call}, _receive, _send)
        return (time.process_time() - began) / CALLS * 1e6

    return asyncio.run(ask())


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(message: Message) -> None:
    return
