"""`runwright worker`: executes runs that servers accept, and is reached by nobody."""

import argparse
import asyncio
import logging
import signal
from typing import Any

from api.cli.logs import configure_logging
from graph.compose import open_runs
from graph.settings import Settings

logger = logging.getLogger("runwright.worker")

#: How long a worker goes on with what it has at its end, in seconds, unless a setting says so.
GRACE = 60.0


def add_worker(commands: Any, server: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The command line of a worker, among those of all commands; what a server has one by, too."""
    server.add_argument(
        "--workers",
        choices=["0", "1"],
        help="share a Postgres database: 0 leaves runs to workers (RUNWRIGHT_WORKERS)",
    )
    worker: argparse.ArgumentParser = commands.add_parser(
        "worker", help="execute runs that the servers of a Postgres database accept"
    )
    worker.add_argument("--in-flight", help="runs begun at once (RUNWRIGHT_IN_FLIGHT)")
    worker.add_argument("--slots", help="of them computing at once (RUNWRIGHT_MAX_EXECUTING)")
    return worker


def worker_settings(options: argparse.Namespace) -> dict[str, Any]:
    """What the command line says of the settings."""
    given = {"in_flight": options.in_flight, "max_executing": options.slots}
    return given | {"workers": 1}


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
