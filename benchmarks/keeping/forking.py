"""What it costs to fork a run of 200 steps, from its start and just before its end."""

import statistics
import time
from collections.abc import Sequence
from typing import Any

import httpx

from benchmarks.server import server

STEPS = 200
PROMPT = ", then ".join(f"calculate {number} + 1" for number in range(STEPS))

#: How often each fork is made.
TIMES = 10


def measure() -> dict[str, float]:
    """The run itself, and its forks until they are accepted and until they are completed."""
    figures: dict[str, float] = {}
    with (
        server(max_steps=str(STEPS)) as measured,
        httpx.Client(base_url=measured.url, trust_env=False, timeout=120) as http,
    ):
        began = time.perf_counter()
        run_id = http.post("/runs/wait", json={"prompt": PROMPT}).json()["run_id"]
        figures["run of 200 steps, ms"] = (time.perf_counter() - began) * 1000
        points = _checkpoints(http, run_id)
        for cursor in (1, STEPS - 1):
            taken = [_fork(http, run_id, points[cursor]) for _ in range(TIMES)]
            accepted, completed = zip(*taken, strict=True)
            figures[f"fork after step {cursor}: accepted, ms"] = _median_ms(accepted)
            figures[f"fork after step {cursor}: completed, ms"] = _median_ms(completed)
        began = time.perf_counter()
        http.get(f"/runs/{run_id}/history?limit=50").raise_for_status()
        figures["page of 50 checkpoints, ms"] = (time.perf_counter() - began) * 1000
    return figures


def _median_ms(seconds: Sequence[float]) -> float:
    return statistics.median(seconds) * 1000


def _checkpoints(http: httpx.Client, run_id: str) -> dict[int, str]:
    """A checkpoint by the number of steps that are done there."""
    points: dict[int, str] = {}
    page: dict[str, Any] = {"before": None}
    while True:
        asked = {"limit": 100} | ({"before": page["before"]} if page["before"] else {})
        page = http.get(f"/runs/{run_id}/history", params=asked).json()
        for entry in page["checkpoints"]:
            if entry["cursor"] is not None and entry["next"]:
                points[entry["cursor"]] = entry["checkpoint_id"]
        if page["before"] is None:
            return points


def _fork(http: httpx.Client, run_id: str, checkpoint_id: str) -> tuple[float, float]:
    began = time.perf_counter()
    forked = http.post(f"/runs/{run_id}/fork", json={"checkpoint_id": checkpoint_id}).json()
    accepted = time.perf_counter() - began
    record = http.get(f"/runs/{forked['run_id']}/wait").json()
    assert record["status"] == "completed", record["error"]
    return accepted, time.perf_counter() - began
