"""`runwright serve`: the HTTP server around the runs, from its socket to its end."""

import asyncio
import gc
import logging
import os
import signal
import socket
from contextlib import nullcontext

import uvicorn

from api.app import HttpLimits, create_app
from api.logs import configure_logging
from graph.compose import open_runs
from graph.settings import Settings

logger = logging.getLogger("runwright.server")

#: How long requests in flight may take once the server is told to stop, in seconds.
REQUEST_GRACE = 2


class PortTaken(Exception):
    """The address cannot be listened on; the message says what to do."""


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then let attempts in flight end and return.

    Raises `PortTaken`, and what `open_runs` raises.
    """
    configure_logging(settings.log, settings.log_level)
    with _listen(settings.host, settings.port) as listener:
        await _serve_on(listener, settings)
    logger.info("stopped")
    await _leave_behind_what_does_not_end()


async def _serve_on(listener: socket.socket, settings: Settings) -> None:
    url = _url(settings.host, listener.getsockname()[1])
    async with open_runs(settings, server_url=url) as runs:
        server = uvicorn.Server(
            uvicorn.Config(
                create_app(
                    lambda: nullcontext(runs),
                    HttpLimits(_host_names(settings), settings.max_body),
                ),
                log_config=None,
                access_log=False,
                lifespan="on",
                ws="none",
                timeout_graceful_shutdown=REQUEST_GRACE,
                server_header=False,
            )
        )
        # uvicorn raises the signal again once it has stopped; the runs are still to be closed.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        # What is loaded by now stays: leaving it out of every collection halves the slowest
        # answers under load.
        gc.collect()
        gc.freeze()
        logger.info("serving", extra={"url": url})
        await server.serve(sockets=[listener])
        logger.info("stopping")


async def _leave_behind_what_does_not_end() -> None:
    """A tool may swallow its cancellation; all is stored, so the process ends without it."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others and (await asyncio.wait(others, timeout=1))[1]:
        logger.warning("tools that do not stop are left behind")
        logging.shutdown()
        os._exit(0)


def _listen(host: str, port: int) -> socket.socket:
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


def _url(host: str, port: int) -> str:
    """Where this machine reaches the server; an address for any interface is none to call."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _host_names(settings: Settings) -> tuple[str, ...]:
    """The names it answers to: the configured ones, and the one that it was told to listen on."""
    own = f"[{settings.host}]" if ":" in settings.host else settings.host
    return (*settings.allowed_hosts, own)
