"""A fleet of ours: one server that executes nothing, and workers."""

import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.runs.load import Owners
from benchmarks.runs.prompt import PROMPT
from benchmarks.scale.database import Database
from benchmarks.scale.process import Process, Request, free_port

#: So many take turns, so that nobody's list of to-dos gets long.
OWNERS = 100


class Ours:
    """As `System`; `url` is its server's."""

    def __init__(
        self, database: Database, folder: Path, workers: int, prompt: str, owners: int
    ) -> None:
        self._database, self._prompt = database, prompt
        keys = Owners(owners)
        self._keys = [keys.next() for _ in range(owners)]
        self._settings = {
            "RUNWRIGHT_DATABASE_URL": database.url,
            "RUNWRIGHT_PORT": str(port := free_port()),
            **({"RUNWRIGHT_API_KEYS": keys.setting} if owners else {}),
        }
        self.url = f"http://127.0.0.1:{port}"
        self.processes = [self._start(folder, "serve", "--workers", "0")]
        self.processes += [self._start(folder, "worker") for _ in range(workers)]

    def _start(self, folder: Path, *arguments: str) -> Process:
        command = [sys.executable, "-m", "api", *arguments]
        return Process(
            command, folder, self._settings, lambda log: bool(re.search(r"\b(serv|work)ing\b", log))
        )

    def posts(self, number: int) -> list[Request]:
        key = self._keys[number % len(self._keys)] if self._keys else {}
        return [Request(self.url, "/runs", {"prompt": self._prompt}, key)]

    def unsettled(self) -> int:
        rows = self._database.execute(
            "SELECT status, count(*) FROM runwright.runs WHERE status <> 'completed' GROUP BY 1"
        )
        left = dict(rows)
        assert not set(left) - {"pending", "running"}, left
        return sum(left.values())

    def waits(self) -> list[float]:
        rows = self._database.execute(
            "SELECT started_at - created_at FROM runwright.runs ORDER BY created_at"
        )
        return [seconds * 1000 for (seconds,) in rows]


@contextmanager
def ours(
    database: Database, workers: int, prompt: str = PROMPT, owners: int = OWNERS
) -> Iterator[Ours]:
    """On a database with nothing in it, ended afterwards; without owners there are no keys."""
    database.empty()
    with tempfile.TemporaryDirectory() as folder:
        started = Ours(database, Path(folder), workers, prompt, owners)
        try:
            yield started
        finally:
            for process in started.processes:
                process.end()
