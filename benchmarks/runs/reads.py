"""GET of a settled run beside `/health/live`, which reads nothing: CPU of the server."""

from pathlib import Path

import httpx

from benchmarks.runs.load import measured
from benchmarks.server import HERE

#: How often each is asked.
TIMES = 600


def one_round(checkout: Path = HERE) -> dict[str, float]:
    """CPU milliseconds of an answer, of a run that was settled just now."""
    with measured(1, checkout=checkout) as started, started.client() as http:
        run_id = started.run(http)
        http.headers["x-api-key"] = "rw_benchmark-00000000"
        asked = {
            "GET /health/live": "/health/live",
            "GET of a settled run": f"/runs/{run_id}",
            "page of its events": f"/runs/{run_id}/events",
        }
        costs = dict.fromkeys(asked, 0.0)
        for path in asked.values():
            _ask(http, path, 50)
        for _ in range(3):  # in turns, since the machine's speed drifts
            for name, path in asked.items():
                before = started.server.cpu_ms()
                _ask(http, path, TIMES // 3)
                costs[name] += started.server.cpu_ms() - before
    figures = {f"{name}, CPU-ms": cost / TIMES for name, cost in costs.items()}
    live = costs["GET /health/live"]
    return figures | {
        f"{name} ÷ live": cost / live for name, cost in costs.items() if "live" not in name
    }


def _ask(http: httpx.Client, path: str, times: int) -> None:
    for _ in range(times):
        assert http.get(path).status_code == 200
