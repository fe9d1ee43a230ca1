"""A fleet of ours: one server that executes nothing, and workers."""

import itertools
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.runs.load import Owners
from benchmarks.runs.prompt import PROMPT
from benchmarks.scale.database import Database, free_port
from benchmarks.scale.process import Process, Request

#: So many take turns, so that nobody's list of to-dos gets long.
OWNERS = 100


class Ours:
    """As `System`; `url` is its server's."""

    def __init__(
        self, database: Database, name: str, folder: Path, workers: int, prompt: str, owners: int
    ) -> None:
        self._prompt = prompt
        self.observer = database.observed(name)
        keys = Owners(owners)
        self._next_key = itertools.cycle([keys.next() for _ in range(owners)] or [{}])
        self._settings = {
            "RUNWRIGHT_DATABASE_URL": database.url_of(name),
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

    def posts(self, _: int) -> list[Request]:
        key = next(self._next_key)
        return [Request(self.url, "/runs", {"prompt": self._prompt}, key)]

    def unsettled(self) -> int:
        rows = self.observer.execute(
            "SELECT status, count(*) FROM runwright.runs WHERE status <> 'completed' GROUP BY 1"
        )
        left = dict(rows)
        assert not set(left) - {"pending", "running"}, left
        return sum(left.values())

    def waits(self) -> list[float]:
        rows = self.observer.execute(
            "SELECT started_at - created_at FROM runwright.runs ORDER BY created_at"
        )
        return [seconds * 1000 for (seconds,) in rows]


@contextmanager
def ours(
    database: Database, workers: int, prompt: str = PROMPT, owners: int = OWNERS
) -> Iterator[Ours]:
    """On a database of its own, which is removed afterwards; without owners there are no keys."""
    name = f"ours_{workers}"
    database.make(name)
    with tempfile.TemporaryDirectory() as folder:
        started = Ours(database, name, Path(folder), workers, prompt, owners)
        try:
            yield started
        finally:
            for process in started.processes:
                process.end()
            started.observer.close()
            database.execute(f"DROP DATABASE {name} WITH (FORCE)", database="postgres")
