"""A server over stored runs, and what its owners ask of it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.servers.server_process import ServerProcess, serving
from tests.support.stored.stored_runs import API_KEYS, KEYS, TOOLS_AFTERWARDS

SETTLED = ("completed", "failed", "cancelled")


class Owner:
    """Asks a server for one of the owners."""

    def __init__(self, server: ServerProcess, name: str) -> None:
        self.server, self.name = server, name
        self._headers = {"authorization": f"Bearer {KEYS[name]}"}

    def ask(
        self, method: str, path: str, body: Any = None, *, headers: Any = None, **query: Any
    ) -> httpx.Response:
        """The answer to a call; `body` is JSON, or bytes as they are."""
        client, given = self.server.client, {**self._headers, **(headers or {})}
        content = {} if body is None else {"content" if isinstance(body, bytes) else "json": body}
        # Empty parameters would take away those that are in the path.
        return client.request(method, path, headers=given, params=query or None, **content)

    def get(self, path: str, **query: Any) -> Any:
        """What a call answers that goes well."""
        answer = self.ask("GET", path, **query)
        assert answer.is_success, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None, **more: Any) -> Any:
        """The same of a call that changes something."""
        answer = self.ask("POST", path, body, **more)
        assert answer.is_success, answer.text
        return answer.json()

    def start(self, prompt: str, *, headers: Any = None, **body: Any) -> str:
        """Start a run; its id."""
        return str(self.post("/runs", {"prompt": prompt, **body}, headers=headers)["run_id"])

    def run(self, prompt: str, *, headers: Any = None, **body: Any) -> dict[str, Any]:
        """The record of a run once it rests."""
        return self.rested(self.start(prompt, headers=headers, **body))

    def rested(self, run_id: str) -> dict[str, Any]:
        """The record once the run is settled or waits for a person."""
        record = self.get(f"/runs/{run_id}/wait", timeout=60)
        assert record["status"] in (*SETTLED, "waiting"), record["status"]
        return dict(record)

    def until(self, run_id: str, condition: Any, timeout: float = 60) -> dict[str, Any]:
        """The record once it meets `condition`."""
        deadline = time.monotonic() + timeout
        while not condition(record := self.get(f"/runs/{run_id}")):
            assert time.monotonic() < deadline, record
            time.sleep(0.01)
        return dict(record)

    def at_step(self, run_id: str, step: int) -> None:
        """Return when an attempt at the step is being made."""
        self.until(
            run_id,
            lambda run: run["current"] == {"step": step, "attempt": 1, "not_before": None},
        )

    def checkpoints(self, run_id: str) -> list[dict[str, Any]]:
        """What was stored of a run, the first one first."""
        page = self.get(f"/runs/{run_id}/history", limit=200)
        return list(page["checkpoints"][::-1])


@contextmanager
def stored_server(
    folder: Path, *, tools: str = TOOLS_AFTERWARDS, **settings: str
) -> Iterator[ServerProcess]:
    """A server that knows the owners and keeps what it finds for ever."""
    with serving(folder, tools=tools, api_keys=API_KEYS, retention="0", **settings) as server:
        yield server


def run_ids(owner: Owner) -> list[str]:
    """The owner's runs in the order of acceptance."""
    listed = owner.get("/runs", limit=200, order="asc")
    assert listed["next_cursor"] is None
    return [run["run_id"] for run in listed["runs"]]


def settled_or_waiting(server: ServerProcess) -> tuple[list[str], list[str]]:
    """The runs of all owners that are settled, and those that wait for a person."""
    settled, waiting = list[str](), list[str]()
    for name in KEYS:
        for run in Owner(server, name).get("/runs", limit=200, order="asc")["runs"]:
            (settled if run["status"] in SETTLED else waiting).append(run["run_id"])
    return settled, waiting
