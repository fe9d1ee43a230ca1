"""A watcher of a run over HTTP that comes back when its server goes, as browsers do."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
from httpx_sse import connect_sse

from tests.support.patience import patience
from tests.support.servers.server_process import http_client


class Watcher:
    """Reads the events of one run in a thread, from wherever its server is, until `end`.

    `url` says where the server is now, or None while it is down. `seen` has every event in the
    order of arrival, `connections` the number that each connection was to go on after.
    """

    def __init__(self, run_id: str, url: Callable[[], str | None]) -> None:
        self.run_id = run_id
        self.seen: list[dict[str, Any]] = []
        self.connections: list[int] = []
        self._url = url
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def join(self) -> bool:
        """Wait until it has seen the end; whether it has."""
        self._thread.join(patience())
        return not self._thread.is_alive()

    @property
    def last(self) -> int:
        """The number of the last event that it saw."""
        return self.seen[-1]["id"] if self.seen else 0

    def _watch(self) -> None:
        while not (self.seen and self.seen[-1]["type"] == "end"):
            try:
                if url := self._url():
                    self._follow(url)
            except (httpx.HTTPError, ValueError):
                pass  # the server was killed; what came until then counts
            time.sleep(0.05)

    def _follow(self, url: str) -> None:
        self.connections.append(self.last)
        with (
            http_client(url) as client,
            connect_sse(
                client,
                "GET",
                f"/runs/{self.run_id}/stream",
                headers={"Last-Event-ID": str(self.last)} if self.last else {},
            ) as source,
        ):
            for message in source.iter_sse():
                if message.event != "heartbeat" and message.data:
                    self.seen.append(json.loads(message.data))
