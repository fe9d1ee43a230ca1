"""Aegra 0.11 with its workers, on a Postgres database and a Redis of its own, beside ours.

It wants Python 3.12, its own packages and `redis-server`:

    python3.12 -m venv .venv/aegra && .venv/aegra/bin/pip install aegra-api==0.11.0

Its graph visits as many nodes as ours does, and does nothing in them.
"""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.scale.database import Database, free_port
from benchmarks.scale.process import Process, Request, answers
from benchmarks.server import HERE

#: Where its environment is expected.
PYTHON = HERE / ".venv" / "aegra" / "bin" / "python"

_GRAPH = """
from benchmarks.runs.minimal import minimal_graph
graph = minimal_graph(None)
"""


class Aegra:
    """As `System`; each of its processes answers and executes."""

    def __init__(self, database: Database, name: str, folder: Path, workers: int) -> None:
        self.observer = database.observed(name)
        (folder / "graph.py").write_text(_GRAPH)
        (folder / "aegra.json").write_text(json.dumps({"graphs": {"agent": "./graph.py:graph"}}))
        redis = free_port()
        command = ["redis-server", "--port", str(redis), "--save", "", "--bind", "127.0.0.1"]
        self._redis = Process(command, folder, {}, lambda log: "eady to accept" in log)
        shared = {
            "DATABASE_URL": database.url_of(name),
            "AEGRA_CONFIG": str(folder / "aegra.json"),
            "AUTH_TYPE": "noop",
            "ENV_MODE": "PRODUCTION",
            "LOG_LEVEL": "WARNING",
            "REDIS_BROKER_ENABLED": "true",
            "REDIS_URL": f"redis://127.0.0.1:{redis}/0",
        }
        ports = [free_port() for _ in range(workers)]
        self._urls = [f"http://127.0.0.1:{port}" for port in ports]
        self.processes = [self._redis]
        for port, url in zip(ports, self._urls, strict=True):
            command = [
                *(str(PYTHON), "-m", "uvicorn", "aegra_api.main:app", "--port", str(port)),
                *("--host", "127.0.0.1", "--log-level", "warning", "--no-access-log"),
            ]
            health = f"{url}/health"
            self.processes.append(
                Process(command, folder, shared, lambda _, at=health: answers(at))
            )

    def posts(self, number: int) -> list[Request]:
        url = self._urls[number % len(self._urls)]
        body = {"assistant_id": "agent", "input": {"prompt": "x"}}
        return [
            Request(url, "/threads", {}),
            Request(url, "/threads/{thread_id}/runs", body),
        ]

    def unsettled(self) -> int:
        rows = self.observer.execute(
            "SELECT status, count(*) FROM runs WHERE status <> 'success' GROUP BY 1"
        )
        left = dict(rows)
        assert not set(left) - {"pending", "running"}, left
        return sum(left.values())

    def waits(self) -> list[float]:
        """It stores no start."""
        return []


def lacking() -> str | None:
    """Why it cannot be measured here, if so."""
    if not PYTHON.exists():
        return f"there is no {PYTHON.relative_to(HERE)}"
    if shutil.which("redis-server") is None:
        return "there is no redis-server"
    shown = subprocess.run([PYTHON, "-c", "import aegra_api"], capture_output=True, check=False)
    return None if shown.returncode == 0 else "its environment has no aegra-api"


@contextmanager
def aegra(database: Database, workers: int) -> Iterator[Aegra]:
    """With so many processes, on a database of its own, which is removed afterwards."""
    name = f"aegra_{workers}"
    database.execute(f"CREATE DATABASE {name}", database="postgres")
    with tempfile.TemporaryDirectory() as folder:
        started = Aegra(database, name, Path(folder), workers)
        try:
            yield started
        finally:
            for process in reversed(started.processes):
                process.end()
            started.observer.close()
            database.execute(f"DROP DATABASE {name} WITH (FORCE)", database="postgres")
