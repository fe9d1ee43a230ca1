"""Clients of a server: each run has an owner of its own, whose list it is the first to write to."""

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx

from benchmarks.runs.prompt import PROMPT
from benchmarks.server import HERE, Server, server

#: How a client learns that its run is settled: the answer waits for it, or it asks again and again.
How = Literal["waiting", "polling"]

#: The time between two questions, in seconds.
POLL = 0.05


@dataclass(frozen=True)
class Load:
    """What runs took: milliseconds each, seconds together, and CPU milliseconds of the server."""

    latencies: list[float]
    seconds: float
    cpu_ms: float


class Owners:
    """Keys of owners that have no run yet.

    The server looks at all of its keys with every request, so it is given no more than are used.
    """

    def __init__(self, count: int) -> None:
        self._keys = iter([f"rw_benchmark-{number:08}" for number in range(count)])
        digests = (
            hashlib.sha256(f"rw_benchmark-{number:08}".encode()).hexdigest()
            for number in range(count)
        )
        self.setting = ",".join(f"owner{place}:{digest}" for place, digest in enumerate(digests))

    def next(self) -> dict[str, str]:
        """The headers of a new owner."""
        return {"x-api-key": next(self._keys)}


class Measured:
    """A server, its file, and its unused owners."""

    def __init__(self, started: Server, owners: Owners) -> None:
        self.server = started
        self._owners = owners

    def client(self) -> httpx.Client:
        """A client on one kept connection."""
        return httpx.Client(base_url=self.server.url, trust_env=False, timeout=120)

    def run(
        self,
        http: httpx.Client,
        how: How = "waiting",
        prompt: str = PROMPT,
        owner: dict[str, str] | None = None,
    ) -> str:
        """One run, of a new owner unless one is given, until its settled record is here; its id."""
        headers = owner or self._owners.next()
        if how == "waiting":
            record = http.post("/runs/wait", json={"prompt": prompt}, headers=headers).json()
        else:
            record = http.post("/runs", json={"prompt": prompt}, headers=headers).json()
            while record["status"] in ("pending", "running"):
                time.sleep(POLL)
                record = http.get(f"/runs/{record['run_id']}", headers=headers).json()
        assert record["status"] == "completed", record
        return str(record["run_id"])

    def load(
        self,
        runs: int,
        clients: int,
        how: How,
        prompt: str = PROMPT,
        owner: dict[str, str] | None = None,
    ) -> Load:
        """So many runs by so many clients at once."""
        latencies: list[float] = []
        rest = iter(range(runs))  # one iterator for all: `next` on it is atomic
        work = (rest, latencies, how, prompt, owner)
        threads = [threading.Thread(target=self._client, args=work) for _ in range(clients)]
        before, began = self.server.cpu_ms(), time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - began
        assert len(latencies) == runs
        return Load(latencies, seconds, self.server.cpu_ms() - before)

    def _client(
        self,
        rest: Iterator[int],
        latencies: list[float],
        how: How,
        prompt: str,
        owner: dict[str, str] | None,
    ) -> None:
        with self.client() as http:
            for _ in rest:
                began = time.perf_counter()
                self.run(http, how, prompt, owner)
                latencies.append((time.perf_counter() - began) * 1000)


@contextmanager
def measured(runs: int, *, checkout: Path = HERE, **settings: str) -> Iterator[Measured]:
    """A server of a checkout on a fresh database, for so many runs."""
    owners = Owners(runs)
    with server(checkout=checkout, api_keys=owners.setting, **settings) as started:
        yield Measured(started, owners)
