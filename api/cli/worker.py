"""`runwright worker`: executes runs that servers accept, and is reached by nobody."""

import argparse
import asyncio
import logging
import signal
from collections.abc import Sequence
from typing import Any

from api.cli.serve import serve
from graph.compose import open_runs
from graph.settings import Settings
from graph.telemetry.logs import configure_logging

logger = logging.getLogger("runwright.worker")

#: How long a worker goes on with what it has at its end, in seconds, unless a setting says so.
GRACE = 60.0


#: What a command line may say of the settings of a process.
_SETTINGS = ("host", "port", "workers", "in_flight", "max_executing")


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
    worker.set_defaults(process=work, workers=1)
    return server, worker


def process_settings(options: argparse.Namespace) -> dict[str, Any]:
    """What the command line of a server or a worker says of the settings."""
    return {name: given for name, given in vars(options).items() if name in _SETTINGS}


async def work(settings: Settings) -> None:
    """Execute runs until SIGTERM or SIGINT, then give back what does not end within the grace.

    Raises what `open_runs` raises.
    """
    configure_logging(settings.log, settings.log_level)
    grace = settings.grace if "grace" in settings.model_fields_set else GRACE
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, stop.set)
    async with open_runs(settings, answering=(working := asyncio.Event())) as runs:
        working.set()
        logger.info("working", extra={"slots": settings.max_executing})
        await stop.wait()
        logger.info("stopping")
        await runs.close(grace)
    logger.info("stopped")
