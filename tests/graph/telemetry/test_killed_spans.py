"""After kills no span is missing, and each is what the record says: times, parents and ids.

`SPAN_KILLS` says how many there are.
"""

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.deployment.otlp_receiver import Receiver
from tests.support.models.capture_server import capturing, openai_answer
from tests.support.models.rounds import calculating, round_of_steps
from tests.support.runs.recorded_spans import assert_recorded
from tests.support.servers.server_process import ServerProcess, serving

TOOLS = "examples.flaky:fail_times,tests.support.own_tools.uncertain:send"

SUM = ("calculator", {"expression": "2 + 2"})
DIVIDED = ("calculator", {"expression": "1 / 0"})

#: What the model answers to a prompt, round by round.
PLANS = {
    "two rounds": (calculating("2 + 3", "look"), calculating("{step_1_output} * 2")),
    "mended": (round_of_steps(DIVIDED), calculating("4")),
    "attempts": (
        round_of_steps(("fail_times", {"times": 2}), ("calculator", {"expression": "4"})),
    ),
    "in doubt": (round_of_steps(("send", {"to": "ann"})),),
    "failing": (round_of_steps(DIVIDED), round_of_steps(then="refuse", says="no way")),
}


def planned(body: Any) -> Any:
    """The model's answer to this request."""
    told = [message["content"] for message in body["messages"]]
    [prompt] = [one for one in PLANS if any(one in text for text in told[1:])]
    rounds = PLANS[prompt]
    return openai_answer(rounds[min(len(told) // 2 - 1, len(rounds) - 1)].text)


class Callers:
    """Posts runs, forks and retries, some of them in a trace of theirs."""

    def __init__(self) -> None:
        self.random = random.Random(20261130)
        self.begun: list[str] = []
        self.traced: dict[tuple[str, int], str] = {}

    def call(self, server: ServerProcess, path: str, body: Any, generation: int = 0) -> str | None:
        caller = None
        if self.random.random() < 0.5:
            caller = f"00-{self.random.randbytes(16).hex()}-{self.random.randbytes(8).hex()}-01"
        headers = {"traceparent": caller} if caller else {}
        answer = server.client.post(path, json=body, headers=headers)
        if not answer.is_success:
            assert answer.status_code == 409, answer.text
            return None
        run_id = str(answer.json()["run_id"])
        if caller:
            self.traced[run_id, generation] = caller
        if run_id not in self.begun:
            self.begun.append(run_id)
        return run_id

    def answer(self, server: ServerProcess, run_id: str) -> None:
        """Say what became of a step in doubt, retry what has failed, and fork what is done."""
        record = server.get(run_id)
        retried = sum(mark["what"] == "retry" for mark in record["marks"])
        if record["in_doubt"]:
            server.client.post(f"/runs/{run_id}/resolve", json={"as": self.random.choice(SAID)})
        elif record["status"] == "failed" and not retried:
            self.call(server, f"/runs/{run_id}/retry", {}, 1)
        elif record["status"] == "completed" and not record["forked_from"]:
            history = server.client.get(f"/runs/{run_id}/history").json()["checkpoints"]
            at = self.random.choice(history)["checkpoint_id"]
            self.call(server, f"/runs/{run_id}/fork", {"checkpoint_id": at})


SAID = ("done", "redo", "skip", "fail")


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[dict[str, str]]:
    with capturing() as model:
        model.answer = planned
        models = [{"model": "openai/m", "api_base": f"{model.url}/v1"}]
        yield {"traces": "otlp", "tools": TOOLS, "backoff": "0.01", "models": json.dumps(models)}


@pytest.mark.slow
def test_after_kills_no_span_is_missing_and_each_is_as_recorded(
    tmp_path: Path,
    receiver: Receiver,
    exporting: Callable[..., None],
    settings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Attempts, rounds, doubts, crashes, retries and forks, some in the trace of a caller."""
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    exporting(receiver)
    callers = Callers()
    for number in range(int(os.environ.get("SPAN_KILLS", "20"))):
        with serving(tmp_path, **settings) as server:
            with suppress(httpx.TransportError):
                for prompt in [*PLANS][number % 2 :: 2]:
                    callers.call(server, "/runs", {"prompt": prompt})
                for run_id in callers.random.sample(callers.begun, 2):
                    callers.answer(server, run_id)
                if number % 3 == 0:
                    server.until(callers.begun[-1], lambda one: one["execution_log"])
                time.sleep(callers.random.random() * 0.3)  # whenever, as kills are
            server.kill()
    records = settled(tmp_path, callers, settings)

    assert_recorded(receiver, records, callers.traced)
    kinds = {mark["what"] for record in records for mark in record["marks"]}
    assert kinds >= {"taken_up", "retry", "resolved"}
    assert any(record["forked_from"] for record in records)
    assert any(len(record["plan"]["rounds"]) > 1 for record in records)
    assert any(entry["attempt"] > 1 for one in records for entry in one["execution_log"])


def settled(folder: Path, callers: Callers, settings: dict[str, str]) -> list[dict[str, Any]]:
    """The records once all have ended, and one more process has exported what was left."""

    def rests(record: dict[str, Any]) -> bool:
        return bool(record["in_doubt"]) or record["status"] in ("completed", "failed", "cancelled")

    def end_all(server: ServerProcess) -> list[dict[str, Any]]:
        for run_id in callers.begun:
            while server.until(run_id, rests)["in_doubt"]:
                server.client.post(f"/runs/{run_id}/resolve", json={"as": "skip"})
        return [server.settled(run_id) for run_id in callers.begun]

    with serving(folder, **settings) as server:
        end_all(server)
        for run_id in callers.begun[-5:]:
            callers.answer(server, run_id)
        records = end_all(server)
        assert server.terminate() == 0
    return records
