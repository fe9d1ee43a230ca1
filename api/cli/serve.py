"""`runwright serve` and `runwright worker`: processes around runs, from socket to end."""

import argparse
import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from queue import SimpleQueue
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.app import HttpLimits, create_app
from api.errors.problems import HANDLERS, encoded
from api.middleware.access import Authentication, Loopback, check_exposure
from api.middleware.connections import guarded
from api.middleware.guards import METRICS, MetricsPage
from api.middleware.places import ConnectionLimits
from graph.compose import open_runs
from graph.queue.share import LoopShare
from graph.service import Runs
from graph.settings import InvalidSettings, Settings
from graph.settings.configured import KeyRing
from graph.storage.open import is_postgres
from graph.storage.records import ServerAddress
from graph.telemetry.server import configure_logging

logger = logging.getLogger("runwright.server")

#: What is kept of the grace for closing, in seconds (half of a shorter one).
CLOSING = 2.0

#: How long answers under way may take once everything else has ended, in seconds.
REQUEST_GRACE = 1

#: Files that are open besides connections and calls of models: the database's, and what connections
#: beyond the limit and tools have.
OTHER_FILES = 256

#: So many objects more are there before it is looked for those that nothing refers to: a run leaves
#: few of them, and each look takes as long as a step of it.
COLLECTED = 5_000

#: The shortest time in which the process can end in order, in seconds.
SHORTEST_GRACE = 1.0


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The loop that every command runs in; None for Python's own."""
    if sys.platform == "win32":  # there is no uvloop for it
        return None
    import uvloop

    return uvloop.new_event_loop


class PortTaken(Exception):
    """The address cannot be listened on; the message says what to do."""


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then let attempts in flight end and return within the grace.

    Raises `PortTaken`, `InvalidSettings` where anonymous callers could reach it, and what
    `open_runs` raises.
    """
    configure_logging(settings.log, settings.log_level)
    check_exposure(settings)
    with listen(settings.host, settings.port) as listener:
        await _serve_on(listener, settings)
    logger.info("stopped")
    await _leave_behind_what_does_not_end()


async def _serve_on(listener: socket.socket, settings: Settings) -> None:
    address = ServerAddress(url_of(settings.host, listener.getsockname()[1]))
    answering = asyncio.Event()
    share = LoopShare()
    if settings.api_keys:  # without any there is one owner, who would pay for it and gain nothing
        asyncio.get_running_loop().set_task_factory(share.make_task)
    async with open_runs(settings, server=address, answering=answering, share=share) as runs:
        server = _Server(
            settings.grace,
            answering,
            uvicorn.Config(
                create_app(
                    lambda: nullcontext(runs),
                    HttpLimits(
                        host_names(settings),
                        settings.max_body,
                        KeyRing(settings.api_keys),
                        settings.cors_origins,
                        settings.streams_per_owner,
                        settings.metrics,
                    ),
                    address=address,
                    each_tool=settings.mcp_each_tool,
                    settings=settings,
                    share=share,
                ),
                http=guarded(_connection_limits(settings), encoded, share),
                log_config=None,
                access_log=False,
                lifespan="on",
                ws="none",
                timeout_graceful_shutdown=REQUEST_GRACE,
                server_header=False,
            ),
        )
        # What is loaded by now stays: leaving it out of every collection halves the slowest
        # answers under load.
        gc.collect()
        gc.freeze()
        gc.set_threshold(COLLECTED)
        logger.info("serving", extra={"url": address.url, "page": f"{address.url}/"})
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await asyncio.wait(
            [serving, asyncio.create_task(server.end_requested.wait())],
            return_when=asyncio.FIRST_COMPLETED,
        )
        logger.info("stopping")
        # It answers until the runs have come to rest: that it is not ready, and what they do.
        await runs.close(settings.grace - min(CLOSING, settings.grace / 2))
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    """Told to end by a signal; a second one ends the answers under way as well."""

    def __init__(self, grace: float, answering: asyncio.Event, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._answering = answering
        self.end_requested = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._grace = grace
        # There from the start, and told by a queue: what begins a thread or sets an event holds a
        # lock, for which a handler would wait for ever that has interrupted the same.
        self._signals: SimpleQueue[int] = SimpleQueue()
        threading.Thread(target=self._end_at_last, name="the end", daemon=True).start()

    def _end_at_last(self) -> None:
        """Whatever does not end, a tool that blocks the event loop too: all is stored by then."""
        self._signals.get()
        time.sleep(max(self._grace, SHORTEST_GRACE))
        os._exit(0)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Called by uvicorn: it answers from then on."""
        await super().startup(sockets)
        self._answering.set()

    def handle_exit(self, sig: int, encoded: FrameType | None) -> None:
        """Called by uvicorn's signal handlers."""
        if self.end_requested.is_set():
            self.should_exit = self.force_exit = True
            return
        self._signals.put(sig)
        self._loop.call_soon_threadsafe(self.end_requested.set)


async def _leave_behind_what_does_not_end() -> None:
    """A tool may swallow its cancellation; all is stored, so the process ends without it."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others and (await asyncio.wait(others, timeout=1))[1]:
        logger.warning("tools that do not stop are left behind")
        logging.shutdown()
        os._exit(0)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at an address. Raises `PortTaken`."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise PortTaken(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another with"
            " --host and --port, or RUNWRIGHT_HOST and RUNWRIGHT_PORT"
        ) from None
    listener.setblocking(False)
    return listener


def host_names(settings: Settings) -> tuple[str, ...]:
    """The names it answers to: the configured ones, and the one that it was told to listen on."""
    own = f"[{settings.host}]" if ":" in settings.host else settings.host
    return (*settings.allowed_hosts, own)


def _connection_limits(settings: Settings) -> ConnectionLimits:
    return ConnectionLimits(
        head=settings.max_head,
        body=settings.max_body,
        head_seconds=settings.head_timeout,
        body_rate=settings.body_rate,
        total=_room_for(settings.max_connections, OTHER_FILES + _most_calls(settings)),
        per_address=settings.max_connections_per_address,
    )


def _most_calls(settings: Settings) -> int:
    """How many calls of models there may be at once, each with a connection of its own."""
    return min(settings.in_flight, settings.model_calls * len(settings.models))


def _room_for(connections: int, others: int) -> int:
    """So many connections beside other files, or as many as the process may have open; asks for
    more of them.

    Beyond that nobody could be told that there are too many.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + others
    if soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(connections, soft - others))


def url_of(host: str, port: int) -> str:
    """Where this machine reaches it; an address for any interface is none to call."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


# The command lines of both.


#: What a command line may say of the settings of a process.
_SETTINGS = ("host", "port", "workers", "in_flight", "max_executing", "metrics_port")


def add_processes(commands: Any) -> Sequence[argparse.ArgumentParser]:
    """The command lines of a server and of a worker, among those of all commands."""
    server = commands.add_parser("serve", help="start the HTTP server")
    server.add_argument("--host", help="address to listen on (RUNWRIGHT_HOST)")
    server.add_argument("--port", help="port to listen on, 0 for a free one (RUNWRIGHT_PORT)")
    server.add_argument(
        "--workers",
        choices=["0", "1"],
        help="share a Postgres database: 0 leaves runs to workers (RUNWRIGHT_WORKERS)",
    )
    server.set_defaults(process=serve)
    worker = commands.add_parser(
        "worker", help="execute runs that the servers of a Postgres database accept"
    )
    worker.add_argument("--in-flight", help="runs begun at once (RUNWRIGHT_IN_FLIGHT)")
    worker.add_argument(
        "--slots",
        dest="max_executing",
        metavar="SLOTS",
        help="of them computing at once (RUNWRIGHT_MAX_EXECUTING)",
    )
    worker.add_argument("--host", help="address to answer /metrics on (RUNWRIGHT_HOST)")
    worker.add_argument(
        "--metrics-port", help="port to answer /metrics on, else none (RUNWRIGHT_METRICS_PORT)"
    )
    worker.set_defaults(process=work, workers=1)
    return server, worker


def process_settings(options: argparse.Namespace) -> dict[str, Any]:
    """What the command line of a server or a worker says of the settings."""
    return {name: given for name, given in vars(options).items() if name in _SETTINGS}


# A worker: it executes runs that servers accept, and tells how it does.


worker_logger = logging.getLogger("runwright.worker")

#: How long a worker continues with what it has at its end, in seconds, unless a setting says so.
WORKER_GRACE = 60.0


async def work(settings: Settings) -> None:
    """Execute runs until SIGTERM or SIGINT, then give back what does not end within the grace.

    Raises `InvalidSettings` and `PortTaken` for what its metrics are to listen on, and what
    `open_runs` raises.
    """
    configure_logging(settings.log, settings.log_level)
    if not is_postgres(settings.database_url):
        raise InvalidSettings(
            "a worker executes runs of a Postgres database that servers share; set"
            " RUNWRIGHT_DATABASE_URL to postgresql://…, or run `runwright serve` alone"
        )
    grace = settings.grace if "grace" in settings.model_fields_set else WORKER_GRACE
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, stop.set)
    share = LoopShare()
    loop.set_task_factory(share.make_task)
    with _listening(settings) as listener:
        async with (
            open_runs(settings, answering=(working := asyncio.Event()), share=share) as runs,
            _scraped(runs, settings, listener),
        ):
            working.set()
            about = {"metrics": listener and f"{_metrics_url(settings, listener)}{METRICS}"}
            worker_logger.info("working", extra={"slots": settings.max_executing, **about})
            await stop.wait()
            worker_logger.info("stopping")
            await runs.close(grace)
    worker_logger.info("stopped")


# What Prometheus and probes ask a worker.


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket | None]:
    """A socket for who asks how the worker does, if there is to be one."""
    if settings.metrics_port is None:
        yield None
        return
    check_exposure(settings)
    with listen(settings.host, settings.metrics_port) as listener:
        yield listener


def _metrics_url(settings: Settings, listener: socket.socket) -> str:
    return url_of(settings.host, listener.getsockname()[1])


@asynccontextmanager
async def _scraped(
    runs: Runs, settings: Settings, listener: socket.socket | None
) -> AsyncIterator[None]:
    """Answer at the socket for as long as the context lasts."""
    if listener is None:
        yield
        return
    server = _MetricsServer(
        uvicorn.Config(_metrics_app(runs, settings), log_config=None, access_log=False)
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await asyncio.wait([serving], timeout=REQUEST_GRACE)


def _metrics_app(runs: Runs, settings: Settings) -> Starlette:
    """`/metrics`, for whom a server has them too, and `/health/live`."""
    keys = KeyRing(settings.api_keys)
    page = MetricsPage(settings.metrics, keys=bool(keys))
    app = Starlette(
        routes=[Route(METRICS, page.answer), Route("/health/live", _live)],
        middleware=[
            Middleware(ExceptionMiddleware, handlers=HANDLERS),
            Middleware(Loopback, allowed_hosts=host_names(settings)),
            Middleware(Authentication, keys=keys),
        ],
        exception_handlers=HANDLERS,
    )
    app.state.runs = runs
    return app


async def _live(_: Request) -> Response:
    return Response(status_code=204)


class _MetricsServer(uvicorn.Server):
    """One that leaves signals to the worker."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Called by uvicorn around all that it does."""
        yield
