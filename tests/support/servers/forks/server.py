"""Forks processes of the program: `python -m tests.support.servers.forks.server SOCKET`.

It goes on as long as they do. `Forked` is who asks it.
"""

import asyncio
import atexit
import gc
import json
import os
import select
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any

import httpcore  # noqa: F401  # which the first client of a socket loads
import httpx
import uvicorn

import api.mcp.stdio  # noqa: F401
from api.__main__ import main as runwright
from api.app import HttpLimits, create_app
from api.cli import command  # all that the command takes
from api.cli.serve import loop_factory
from graph.compose import open_runs
from graph.models.client import close_clients
from graph.settings.settings import Settings
from tests.support.models.capture_server import capturing
from tests.support.models.llm_calls import ANSWERS, complete
from tests.support.patience import patience
from tests.support.servers.documented import describe_once
from tests.support.servers.forks.forked import HEADER, SERVE_WITH_MODELS, received
from tests.support.servers.forks.stretched import set_waits, stretch_waits
from tests.support.servers.mcp_client import message


def serve(place: str) -> None:
    """Fork a process for every order, and return in each of them."""
    alive = os.open(Path(place).parent / "alive", os.O_RDONLY | os.O_NONBLOCK)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(place)
    listener.listen(64)
    woken, wake = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    gc.collect()
    gc.freeze()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    links: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([listener, woken, alive], [], [])
        if alive in ready:
            os._exit(0)
        if woken in ready:
            os.read(woken, 4096)
            _tell_ends(links)
        if listener in ready:
            link, _ = listener.accept()
            header, descriptors, _, _ = socket.recv_fds(link, HEADER, 3)
            try:
                order = json.loads(received(link, int.from_bytes(header)))
            except ConnectionError:  # who asked has been killed
                link.close()
                continue
            if pid := os.fork():
                os.setpgid(pid, pid)  # here too: it may be signalled before it comes to that
                for descriptor in descriptors:
                    os.close(descriptor)
                links[pid] = link
                with suppress(OSError):
                    link.sendall(pid.to_bytes(HEADER))
                continue
            for inherited in (listener, link, *links.values()):
                inherited.close()
            _become(order, descriptors)
            return


def _tell_ends(links: dict[int, socket.socket]) -> None:
    while links:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with links.pop(pid) as link, suppress(OSError):  # nobody may wait for it any more
            link.sendall(status.to_bytes(HEADER))


def _become(order: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    """Be as a process that was just started."""
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for descriptor, number in zip(descriptors, range(3), strict=True):
        os.dup2(descriptor, number)
    os.closerange(3, 1024)
    tempfile.tempdir = None
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    own, others = os.environ.get("PYTHONPATH", "").split(os.pathsep), sys.path[1:]
    sys.path[:] = [order["cwd"], *(path for path in own if path and path not in others), *others]
    sys.argv[1:] = order["arguments"]
    _make_streams(order["closed"])


def _make_streams(closed: Sequence[int]) -> None:
    """Those that Python would have made of these descriptors, some of which are closed."""
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]
    if encoding := os.environ.get("PYTHONIOENCODING"):
        # Anew: the former ones know of their descriptors whether one can seek in them.
        sys.stdout = os.fdopen(1, "w", encoding=encoding, closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, encoding=encoding, closefd=False)
    for number in closed:
        os.close(number)
        setattr(sys, ("stdin", "stdout", "stderr")[number], None)


async def _used_once() -> None:
    """Load and make what the first run makes; nothing of it is kept."""
    async with open_runs(Settings(database_url="memory://")) as runs:
        app = create_app(lambda: nullcontext(runs), HttpLimits())
        uvicorn.Config(app, log_config=None).load()
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            await _requested_once(client)


async def _requested_once(client: httpx.AsyncClient) -> None:
    """Make what the first request of each kind makes, with a run; and load what MCP takes."""
    made = await client.post("/runs", json={"prompt": "add todo milk, then 2 + 2"})
    run = made.headers["location"]
    headers, body = message("auto", "tools/list")
    answers = [
        made,
        await client.get(f"{run}/stream"),  # to its end
        *[await client.get(f"{run}/{part}") for part in ("wait", "events", "explain", "history")],
        *[await client.get(path) for path in (run, "/runs", "/tools", "/health", "/openapi.json")],
        await client.post("/mcp", headers=headers, json=body),
    ]
    assert all(answer.is_success for answer in answers), answers


async def _asked_once() -> None:
    """Load what the first call of each provider's model loads; its connections are closed."""
    with capturing() as provider:
        for name, provider.answer in ANSWERS.items():
            await complete(provider, name)
        await close_clients()


def _end(code: int) -> None:
    """End as Python would, without taking all apart that was loaded, most of what an end takes.

    Where a stream cannot be written, Python is left to say so.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    gc.collect()  # what was left open is complained about
    with suppress(OSError, ValueError):
        for stream in (sys.stdout, sys.stderr):
            if stream:
                stream.flush()
        atexit._run_exitfuncs()
        os._exit(code)


def _be_alone() -> None:
    """Wait until no thread is left that a fork would be without."""
    for other in {*threading.enumerate()} - {threading.main_thread()}:
        other.join(patience())  # what served a connection that has just been closed
    assert threading.active_count() == 1, f"a fork would be without {threading.enumerate()}"


def main() -> int:
    """Load the program, then be a server and, in its forks, the program."""
    stretch_waits()
    describe_once()
    loop_factory()  # which loads its library
    command._parser = cache(command._parser)  # type: ignore[assignment]  # always the same
    command._parser()
    asyncio.run(_used_once())
    _be_alone()
    serve(sys.argv[1])
    if sys.argv[1] == SERVE_WITH_MODELS:
        asyncio.run(_asked_once())
        _be_alone()
        serve(sys.argv[2])
    set_waits()
    try:
        code = runwright()
    except SystemExit as ended:  # as after `--help`, and where the arguments do not fit
        code = int(ended.code or 0)
    _end(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
