"""`runwright worker`: executes runs that servers accept, and tells how it does."""

import argparse
import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.cli.serve import REQUEST_GRACE, check_exposure, host_names, listen, serve, url_of
from api.errors.answers import HANDLERS
from api.middleware.access import Authentication, Loopback
from api.middleware.guards import METRICS, MetricsPage
from graph.compose import open_runs
from graph.queue.share import LoopShare
from graph.service import Runs
from graph.settings import InvalidSettings, Settings
from graph.settings.keys import KeyRing
from graph.storage.open import is_postgres
from graph.telemetry.logs import configure_logging

logger = logging.getLogger("runwright.worker")

#: How long a worker continues with what it has at its end, in seconds, unless a setting says so.
GRACE = 60.0


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
    grace = settings.grace if "grace" in settings.model_fields_set else GRACE
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
            about = {"metrics": listener and f"{_url(settings, listener)}{METRICS}"}
            logger.info("working", extra={"slots": settings.max_executing, **about})
            await stop.wait()
            logger.info("stopping")
            await runs.close(grace)
    logger.info("stopped")


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


def _url(settings: Settings, listener: socket.socket) -> str:
    return url_of(settings.host, listener.getsockname()[1])


@asynccontextmanager
async def _scraped(
    runs: Runs, settings: Settings, listener: socket.socket | None
) -> AsyncIterator[None]:
    """Answer at the socket for as long as the context lasts."""
    if listener is None:
        yield
        return
    server = _Server(uvicorn.Config(_app(runs, settings), log_config=None, access_log=False))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await asyncio.wait([serving], timeout=REQUEST_GRACE)


def _app(runs: Runs, settings: Settings) -> Starlette:
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


class _Server(uvicorn.Server):
    """One that leaves signals to the worker."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Called by uvicorn around all that it does."""
        yield
