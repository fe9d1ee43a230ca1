"""Processes of servers that have outlived us: each carries who started it, so that none is lost.

Most end when their input does, which is when we are killed. The next start ends those that cling
on. That needs Linux, where the environment of a process can be read.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

logger = logging.getLogger("runwright.mcp")

_MARK = "RUNWRIGHT_STARTED"

#: The shell notes its own number, which is that of the server once it has become it, and of the
#: session that all have which the server starts, unless they leave it on purpose.
_SCRIPT = f'export {_MARK}="$1:$$"; shift; exec "$@"'

_PROC = Path("/proc")


def marked(command: str, args: Sequence[str]) -> tuple[str, list[str]]:
    """The command and its arguments, so that the process carries who has started it."""
    if sys.platform != "linux":
        return command, [*args]
    me = f"{os.getpid()}:{_started(os.getpid())}"
    return "/bin/sh", ["-c", _SCRIPT, "sh", me, command, *args]


async def reap() -> None:
    """End what servers have left whose starter is gone, however that ended."""
    if sys.platform == "linux":
        for pid, server in await asyncio.to_thread(lambda: [*_orphans()]):
            logger.warning("process %d is left of an earlier MCP server (%d): ended", pid, server)
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def _orphans() -> Iterator[tuple[int, int]]:
    """The processes, each with the server that it belongs to."""
    for folder in _PROC.iterdir():
        if not folder.name.isdecimal() or not (mark := _mark(folder)):
            continue
        starter, since, server = mark
        if _started(starter) != since and _stat(int(folder.name), 3) == server:
            yield int(folder.name), int(server)


def _mark(folder: Path) -> tuple[int, str, str] | None:
    try:
        environment = (folder / "environ").read_bytes()
    except OSError:  # gone, or another user's
        return None
    for entry in environment.split(b"\0"):
        name, _, value = entry.decode("utf-8", "replace").partition("=")
        parts = value.split(":")
        if name == _MARK and len(parts) == 3 and all(part.isdecimal() for part in parts):
            return int(parts[0]), parts[1], parts[2]
    return None


def _started(pid: int) -> str | None:
    """When a process was started, in ticks since the boot; None where there is none."""
    return _stat(pid, 19)


def _stat(pid: int, place: int) -> str | None:
    """A field of `/proc/<pid>/stat` (proc(5)), counted from the state after the name."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[place]
