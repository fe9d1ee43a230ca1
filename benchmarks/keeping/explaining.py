"""The explanation of a run whose server was killed twice."""

import json
import tempfile
import time
from typing import Any

import httpx

from benchmarks.server import Server

PROMPT = ", then ".join(["sleep 0.6 seconds"] * 4)

#: How often it is asked for.
TIMES = 100


def measure() -> dict[str, float]:
    """Its parts in seconds, and how long the answer takes."""
    with tempfile.TemporaryDirectory() as folder:
        run_id = ""
        for kills in range(2):
            server = Server(folder, tools="examples.flaky:sleep")
            with _client(server) as http:
                run_id = run_id or http.post("/runs", json={"prompt": PROMPT}).json()["run_id"]
                while _record(http, run_id)["progress"]["done"] <= kills:
                    time.sleep(0.02)
            time.sleep(0.3)
            server.kill()
        server = Server(folder, tools="examples.flaky:sleep")
        try:
            with _client(server) as http:
                http.get(f"/runs/{run_id}/wait")
                began = time.perf_counter()
                for _ in range(TIMES):
                    explained = http.get(f"/runs/{run_id}/explain").json()
                took = (time.perf_counter() - began) / TIMES
        finally:
            server.end()
    print(json.dumps(explained, indent=2))
    return {
        "killed twice: answer, ms": took * 1000,
        "killed twice: total, s": explained["total_ms"] / 1000,
        **{f"killed twice: {part}, s": ms / 1000 for part, ms in explained["time_ms"].items()},
    }


def _client(server: Server) -> httpx.Client:
    return httpx.Client(base_url=server.url, trust_env=False, timeout=60)


def _record(http: httpx.Client, run_id: str) -> dict[str, Any]:
    return dict(http.get(f"/runs/{run_id}").json())
