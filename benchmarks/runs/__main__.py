"""`python -m benchmarks.runs`: start, latency, throughput and CPU of a server, beside LangGraph.

Every round measures all of it in turn, so that the ratios hold on a machine whose speed drifts.
"""

import argparse
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import httpx

from benchmarks.runs.prompt import PROMPT
from benchmarks.server import server
from benchmarks.table import print_table


def client(url: str, rest: Iterator[int], poll: float, latencies: list[float]) -> None:
    """One client on one kept connection: post, poll until settled, again."""
    with httpx.Client(base_url=url, trust_env=False) as http:
        for _ in rest:
            began = time.perf_counter()
            run_id = http.post("/runs", json={"prompt": PROMPT}).json()["run_id"]
            while (status := http.get(f"/runs/{run_id}").json()["status"]) != "completed":
                assert status in ("pending", "running"), status
                time.sleep(poll)
            latencies.append((time.perf_counter() - began) * 1000)


def load(url: str, runs: int, clients: int, poll: float) -> tuple[list[float], float]:
    """The latency of every run in milliseconds, and the seconds that all of them took."""
    latencies: list[float] = []
    rest = iter(range(runs))  # one iterator for all: `next` on it is atomic
    threads = [
        threading.Thread(target=client, args=(url, rest, poll, latencies)) for _ in range(clients)
    ]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(latencies) == runs
    return latencies, time.perf_counter() - began


def bare(runs: int, clients: int) -> float:
    command = [sys.executable, "-m", "benchmarks.runs.bare", str(runs), str(clients)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def one_round(runs: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    for clients, poll in ((1, 0.002), (16, 0.05)):
        alone = bare(runs, clients)
        with server() as measured:
            if clients == 1:
                figures["start to first 200, s"] = measured.start_seconds
                figures["memory at start, MB"] = measured.memory_mb()
            load(measured.url, 5, 1, poll)
            before = measured.cpu_ms()
            latencies, seconds = load(measured.url, runs, clients, poll)
            cpu = (measured.cpu_ms() - before) / runs
            name = f"{clients} client" + "s" * (clients > 1)
            figures[f"{name}: p50, ms"] = statistics.median(latencies)
            figures[f"{name}: p95, ms"] = statistics.quantiles(latencies, n=20)[18]
            figures[f"{name}: runs/s"] = runs / seconds
            figures[f"{name}: CPU-ms per run"] = cpu
            figures[f"{name}: CPU-ms per run, LangGraph alone"] = alone
            figures[f"{name}: ratio"] = cpu / alone
            if clients == 16:
                figures["memory at the end, MB"] = measured.memory_mb()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="runs of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rounds = [one_round(options.runs) for _ in range(options.rounds)]
    print_table(rounds)


if __name__ == "__main__":
    main()
