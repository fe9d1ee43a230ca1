"""The orderly end of a server: what it still answers, what it leaves, and that it comes."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.own_tools.gate_tool import GATE
from tests.support.patience import patience, wait_until
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
        self._thread.join(patience())
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
    with serving(tmp_path, tools=GATE, grace="3600") as server:
        run_id = server.post("pass gate one, then add todo later")
        server.until(run_id, lambda run: run["current"])
        stream = Streamed(server, run_id)
        wait_until(lambda: "step.started" in stream.text)
        server.end_requested()
        wait_until(lambda: server.client.get("/health/ready").status_code == 503)
        refused = server.client.post("/runs", json={"prompt": "2 + 2"})
        cancelled = server.client.post(f"/runs/{run_id}/cancel")
        read = server.client.get(f"/runs/{run_id}")
        server.open_gate("one")
        assert server.ended() == 0
    assert (refused.status_code, cancelled.status_code, read.status_code) == (503, 503, 200)
    assert refused.headers["retry-after"]
    text = stream.joined()
    assert "event: step.completed" in text
    assert "event: end" not in text
    assert text.rstrip().endswith("retry: 2000")
    with serving(tmp_path, tools=GATE) as server:
        assert server.settled(run_id)["status"] == "completed"


@pytest.mark.parametrize(
    "prompt",
    ["hang for 3600 seconds", "freeze for 3600 seconds", "cling"],
    ids=["a thread", "the event loop", "a coroutine that swallows its cancellation"],
)
def test_nothing_that_hangs_keeps_it_longer_than_the_grace(tmp_path: Path, prompt: str) -> None:
    """For an hour, that is: it exits with 0, and the run goes on at the next start."""
    tools = ",".join(
        f"tests.support.own_tools.doomed:{name}" for name in ("hang", "freeze", "cling")
    )
    with serving(tmp_path, tools=tools, grace="1") as server:
        run_id = server.post(prompt)
        wait_until((tmp_path / "begun").exists)
        assert server.terminate() == 0
    with serving(tmp_path) as server:
        assert server.get(run_id)["status"] in ("running", "failed")


def test_many_watchers_are_let_go_at_once(tmp_path: Path) -> None:
    with serving(tmp_path, tools=FLAKY, grace=f"{patience(3)}") as server:
        run_id = server.post("sleep 3600 seconds")
        server.until(run_id, lambda run: run["current"])
        streams = [Streamed(server, run_id) for _ in range(30)]
        for stream in streams:
            wait_until(lambda: "step.started" in stream.text)  # noqa: B023 - called at once
        assert server.terminate() == 0
    assert all(stream.joined().rstrip().endswith("retry: 2000") for stream in streams)


#: A server that is told to end at every moment at which it is being told so.
TOLD_ANEW = """
import asyncio, os, signal, sys, uvicorn
from api.cli.serve import _Server

async def main():
    server = _Server(3600, asyncio.Event(), uvicorn.Config(None))
    sys.setprofile(lambda *_: server.handle_exit(signal.SIGTERM, None))
    server.handle_exit(signal.SIGTERM, None)
    sys.setprofile(None)
    await server.end_requested.wait()
    os._exit(3)

asyncio.run(main())
"""


@pytest.mark.slow  # a process that is not forked
def test_a_signal_may_come_while_another_is_dealt_with() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", TOLD_ANEW],
        capture_output=True,
        text=True,
        timeout=patience(),
        check=False,
    )
    assert ended.returncode == 3, ended.stderr
