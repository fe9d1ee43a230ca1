"""How long after a kill the runs that were executing go on."""

import tempfile
import time
from datetime import datetime

import httpx

from benchmarks.server import Server

PROMPT = ", then ".join(f"add todo number {number}, then sleep 0.2 seconds" for number in range(5))
RUNS = 50


def measure() -> dict[str, float]:
    """From the start of the next process, and from its readiness, to the first step taken up."""
    with tempfile.TemporaryDirectory() as folder:
        first = Server(folder, tools="examples.flaky:sleep")
        with httpx.Client(base_url=first.url, trust_env=False) as http:
            posted = [http.post("/runs", json={"prompt": PROMPT}) for _ in range(RUNS)]
        ids = [answer.json()["run_id"] for answer in posted]
        time.sleep(0.5)
        first.kill()
        second = Server(folder, tools="examples.flaky:sleep")
        ready = time.time()
        try:
            with httpx.Client(base_url=second.url, trust_env=False, timeout=60) as http:
                records = [http.get(f"/runs/{run_id}/wait").json() for run_id in ids]
        finally:
            second.end()
    assert {record["status"] for record in records} == {"completed"}
    taken_up = [mark["at"] for record in records for mark in record["marks"]]
    assert taken_up
    return {
        f"{RUNS} runs killed: start to ready, s": second.start_seconds,
        f"{RUNS} runs killed: taken up": len(taken_up),
        f"{RUNS} runs killed: ready to first step taken up, s": _epoch(min(taken_up)) - ready,
        f"{RUNS} runs killed: ready to all taken up, s": _epoch(max(taken_up)) - ready,
    }


def _epoch(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
