"""A conversation over the ends of its server: real processes, real signals."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.patience import wait_until
from tests.support.servers.server_process import ServerProcess, serving

pytestmark = pytest.mark.usefixtures("kept_on")

#: Prompts of the thread, of which the fifth fails.
PROMPTS = [
    f"calculate 1 / 0, then add todo number {n}" if n == 5 else f"add todo number {n}"
    for n in range(1, 31)
]


def post(server: ServerProcess, prompt: str, thread_id: str | None) -> str:
    body = {"prompt": prompt} | ({"thread_id": thread_id} if thread_id else {})
    answer = server.client.post("/runs", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["run_id"])


def ended(server: ServerProcess, thread_id: str) -> int:
    query = {"thread_id": thread_id, "status": ["completed", "failed"], "limit": 1}
    return int(server.client.get("/runs", params=query).json()["total"])


def asked(record: dict[str, Any]) -> list[str]:
    return [turn["prompt"] for turn in record["conversation"]["turns"]]


@pytest.mark.slow
def test_a_thread_of_thirty_prompts_goes_on_over_a_kill_and_a_stop(tmp_path: Path) -> None:
    """Each in its turn and once, the fifth again when it is retried, and no later one with it."""
    with serving(tmp_path) as server:
        thread_id = post(server, PROMPTS[0], None)
        ids = [thread_id, *(post(server, prompt, thread_id) for prompt in PROMPTS[1:])]
        wait_until(lambda: ended(server, thread_id) >= 3)
        server.kill()
    with serving(tmp_path) as server:
        wait_until(lambda: ended(server, thread_id) >= 12)
        server.terminate()
    with serving(tmp_path) as server:
        again = {"from_step": 1, "input": {"expression": "1 / 1"}}
        wait_until(lambda: server.get(ids[4])["status"] == "failed")
        assert server.client.post(f"/runs/{ids[4]}/retry", json=again).is_success
        records = [server.settled(run_id) for run_id in ids]
        alone = server.settled(server.post("show my list"))["result"]["output"]

        assert {record["status"] for record in records} == {"completed"}
        assert {record["thread_id"] for record in records} == {thread_id}
        assert [record["conversation"] is None for record in records] == [True] + [False] * 29
        # One that begins in the moment of the retry does not have what is being retried.
        others = [prompt for prompt in PROMPTS if prompt != PROMPTS[4]]
        given = [asked(record) for record in records[1:]]
        without = [n for n, prompts in enumerate(given, 1) if prompts != PROMPTS[:n]]
        assert len(without) <= 1
        assert all(given[n - 1] == others[: n - 1] for n in without)
        words = [todo["text"] for todo in alone]
        assert [word for word in words if word != "number 5"] == [
            f"number {n}" for n in range(1, 31) if n != 5
        ]
        assert words.count("number 5") == 1
        first = [record for number, record in enumerate(records) if number != 4]
        assert all(len(record["execution_log"]) == 1 for record in first)
        exported = server.client.get(f"/threads/{thread_id}/export").json()
        assert [record["run_id"] for record in exported["records"]] == ids
        page = server.client.get("/threads").json()["threads"]
        assert [(one["thread_id"], one["runs"]) for one in page[1:]] == [(thread_id, 30)]
