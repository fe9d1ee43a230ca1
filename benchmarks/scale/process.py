"""A process of a system that is measured, and what a system is to the measurements."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import httpx

from benchmarks.scale.database import Observer, cpu_ms, free_port
from benchmarks.server import HERE

#: How long a start may take, in seconds.
START = 300


class Process:
    """A started process, with its own log in `folder`; `ready` says whether it has started."""

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        settings: Mapping[str, str],
        ready: Callable[[str], bool],
    ) -> None:
        log = folder / f"log-{free_port()}"
        inherited = {name: one for name, one in os.environ.items() if "RUNWRIGHT" not in name}
        inherited.pop("PYTHONDONTWRITEBYTECODE", None)
        with log.open("w") as stream:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env={**inherited, "PYTHONPATH": str(HERE), **settings},
                stdout=stream,
                stderr=stream,
            )
        end = time.monotonic() + START
        while not ready(log.read_text()):
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{command} did not start:\n{log.read_text()}")
            time.sleep(0.05)

    def cpu_ms(self) -> float:
        """CPU of all its threads so far, user and system."""
        return cpu_ms(self._process.pid)

    def end(self) -> None:
        """SIGTERM, and SIGKILL where that does not do."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def answers(url: str) -> bool:
    """Whether a server does."""
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False


@dataclass(frozen=True)
class Request:
    """A POST; `{thread_id}` in the path is what the answer before it has by that name."""

    url: str
    path: str
    body: object
    headers: Mapping[str, str] = field(default_factory=dict)


class System(Protocol):
    """Something that accepts runs over HTTP and executes them, with so many workers.

    `observer` reads the database that it has for itself.
    """

    processes: list[Process]
    observer: Observer

    def posts(self, number: int) -> list[Request]:
        """What begins one run, in its order."""

    def unsettled(self) -> int:
        """How many runs are not done yet. Raises `AssertionError` where one has failed."""

    def waits(self) -> list[float]:
        """How long each run waited from its acceptance to its start, in milliseconds."""


#: Starts one with so many workers, on an empty database.
Start = Callable[[int], AbstractContextManager[System]]
