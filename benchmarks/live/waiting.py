"""POST /runs/wait: how long until the settled record is here, and how many in a second."""

import statistics
import threading
import time
from collections.abc import Iterator

import httpx

from benchmarks.runs.prompt import PROMPT
from benchmarks.server import server


def measure(runs: int) -> dict[str, float]:
    """One client, then 16, each on a kept connection and a fresh server."""
    figures: dict[str, float] = {}
    for clients in (1, 16):
        with server() as measured:
            _load(measured.url, 5, 1)
            before = measured.cpu_ms()
            latencies, seconds = _load(measured.url, runs, clients)
            name = f"wait, {clients} client{'s' * (clients > 1)}"
            figures[f"{name}: p50, ms"] = statistics.median(latencies)
            figures[f"{name}: p95, ms"] = statistics.quantiles(latencies, n=20)[18]
            figures[f"{name}: runs/s"] = runs / seconds
            figures[f"{name}: CPU-ms per run"] = (measured.cpu_ms() - before) / runs
    return figures


def _load(url: str, runs: int, clients: int) -> tuple[list[float], float]:
    latencies: list[float] = []
    rest = iter(range(runs))  # one iterator for all: `next` on it is atomic
    threads = [
        threading.Thread(target=_client, args=(url, rest, latencies)) for _ in range(clients)
    ]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(latencies) == runs
    return latencies, time.perf_counter() - began


def _client(url: str, rest: Iterator[int], latencies: list[float]) -> None:
    with httpx.Client(base_url=url, trust_env=False) as http:
        for _ in rest:
            began = time.perf_counter()
            answer = http.post("/runs/wait", json={"prompt": PROMPT})
            assert answer.status_code == 201, answer.text
            assert answer.json()["status"] == "completed"
            latencies.append((time.perf_counter() - began) * 1000)
