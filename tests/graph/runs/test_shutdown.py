"""The orderly end of a server: what it still answers, what it leaves, and how long it takes."""

import threading
import time
from pathlib import Path

import pytest

from tests.support.servers.server_process import ServerProcess, http_client, serving

FLAKY = "examples.flaky:sleep"


class Streamed:
    """All that a stream sends, until the server closes it."""

    def __init__(self, server: ServerProcess, run_id: str) -> None:
        self.text = ""
        self._url = f"{server.url}/runs/{run_id}/stream"
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def joined(self) -> str:
        self._thread.join(15)
        assert not self._thread.is_alive()
        return self.text

    def _read(self) -> None:
        with (
            http_client() as client,
            client.stream("GET", self._url) as answer,
        ):
            for part in answer.iter_text():
                self.text += part


def test_it_turns_away_what_is_new_and_shows_what_ends(tmp_path: Path) -> None:
    """It is not ready at once; the step under way ends and is seen; watchers may come back."""
    with serving(tmp_path, tools=FLAKY, grace="6") as server:
        run_id = server.post("sleep 1.5 seconds, then add todo later")
        server.until(run_id, lambda run: run["current"])
        stream = Streamed(server, run_id)
        while "step.started" not in stream.text:
            time.sleep(0.01)
        began = time.monotonic()
        server.process.terminate()
        while server.client.get("/health/ready").status_code == 200:
            assert time.monotonic() - began < 1
        refused = server.client.post("/runs", json={"prompt": "2 + 2"})
        cancelled = server.client.post(f"/runs/{run_id}/cancel")
        read = server.client.get(f"/runs/{run_id}")
        assert server.process.wait(10) == 0
        took = time.monotonic() - began
    assert (refused.status_code, cancelled.status_code, read.status_code) == (503, 503, 200)
    assert refused.headers["retry-after"]
    text = stream.joined()
    assert "event: step.completed" in text
    assert "event: end" not in text
    assert text.rstrip().endswith("retry: 2000")
    assert took < 6
    with serving(tmp_path, tools=FLAKY) as server:
        assert server.settled(run_id)["status"] == "completed"


@pytest.mark.parametrize(
    "prompt",
    ["hang for 60 seconds", "freeze for 60 seconds", "cling"],
    ids=["a thread", "the event loop", "a coroutine that swallows its cancellation"],
)
def test_nothing_that_hangs_keeps_it_longer_than_the_grace(tmp_path: Path, prompt: str) -> None:
    """It exits with 0, and the run goes on at the next start."""
    tools = ",".join(
        f"tests.support.own_tools.doomed:{name}" for name in ("hang", "freeze", "cling")
    )
    with serving(tmp_path, tools=tools, grace="3") as server:
        run_id = server.post(prompt)
        time.sleep(0.5)
        began = time.monotonic()
        server.process.terminate()
        assert server.process.wait(10) == 0
        # What the system takes to end the process comes on top.
        assert time.monotonic() - began < 3.5
    with serving(tmp_path) as server:
        assert server.get(run_id)["status"] in ("running", "failed")


def test_many_watchers_are_let_go_at_once(tmp_path: Path) -> None:
    with serving(tmp_path, tools=FLAKY, grace="3") as server:
        run_id = server.post("sleep 60 seconds")
        server.until(run_id, lambda run: run["current"])
        streams = [Streamed(server, run_id) for _ in range(30)]
        for stream in streams:
            while "step.started" not in stream.text:
                time.sleep(0.01)
        began = time.monotonic()
        server.process.terminate()
        assert server.process.wait(10) == 0
        assert time.monotonic() - began < 3.5
    assert all(stream.joined().rstrip().endswith("retry: 2000") for stream in streams)
