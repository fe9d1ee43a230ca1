"""Clients that run the same task in the ways that there are."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx

#: Two steps, and nothing of it grows from run to run.
PROMPT = "calculate 6 * 7, then add a todo to buy milk"

GIVEN: dict[str, Any] = {"assistant_id": "runwright", "input": {"prompt": PROMPT}}

#: Runs the task once, and raises unless it was done.
Run = Callable[[httpx.Client], None]


def of_runs(http: httpx.Client) -> None:
    """By our own call."""
    record = http.post("/runs/wait", json={"prompt": PROMPT}).json()
    assert record["status"] == "completed", record


def waited(prefix: str) -> Run:
    """By the protocol, without a thread."""

    def run(http: httpx.Client) -> None:
        values = http.post(f"{prefix}/runs/wait", json=GIVEN).json()
        assert values["run"]["status"] == "completed", values

    return run


def on_thread(prefix: str) -> Run:
    """By the protocol, on a thread that is opened for it."""

    def run(http: httpx.Client) -> None:
        thread = http.post(f"{prefix}/threads", json={}).json()["thread_id"]
        values = http.post(f"{prefix}/threads/{thread}/runs/wait", json=GIVEN).json()
        assert values["run"]["status"] == "completed", values

    return run


def streamed(prefix: str) -> Run:
    """By the protocol, as a stream of values."""

    def run(http: httpx.Client) -> None:
        told = http.post(f"{prefix}/runs/stream", json=GIVEN | {"stream_mode": "values"}).text
        assert '"completed"' in told, told

    return run


def seconds_of(url: str, run: Run, runs: int, clients: int) -> float:
    """How long so many runs take so many clients at once."""
    rest = iter(range(runs))  # one iterator for all: `next` on it is atomic
    done: list[int] = []
    threads = [threading.Thread(target=_work, args=(url, run, rest, done)) for _ in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == runs
    return time.perf_counter() - began


def _work(url: str, run: Run, rest: Iterator[int], done: list[int]) -> None:
    with httpx.Client(base_url=url, trust_env=False, timeout=300) as http:
        for one in rest:
            run(http)
            done.append(one)
