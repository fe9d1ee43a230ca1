"""Runs executed while the snapshot is made: their answers, streams and lines of the log."""

import json
from collections.abc import Iterator
from pathlib import Path

from tests.support.servers.server_process import ServerProcess
from tests.support.stored.sheet import Sheet, answer_text
from tests.support.stored.stored_server import Owner, stored_server
from tests.support.stored.varying import CROWDED, FRESH, QUEUED, Ids, alike

#: What is asked, one after the other.
PROMPTS = (
    "Add a todo to buy milk, then show me all my tasks",
    "what is (41*7)+13, then the result plus 6",
    "fail 1 times, then calculate 1 / 0",
    "charge 13 to Ann",
    "sing a song",
    "“forecast” for Zürich\n",
    "forecast for Zürich, then repeat x for 300 times",
)


def fresh_sheet(folder: Path) -> Sheet:
    """What is answered about each run, and the log of it all, down to the prompts."""
    ids = Ids()
    settings = {"log_level": "debug", "backoff": "0.01", "in_flight": "1", "max_queued": "1"}
    with stored_server(folder, **settings) as server:
        told = dict(_told(server))
        server.terminate()
    log = {"log": "\n".join(server.lines)}
    return {title: ids.alike(alike(text, FRESH)) for title, text in {**log, **told}.items()}


def _told(server: ServerProcess) -> Iterator[tuple[str, str]]:
    alice = Owner(server, "alice")
    for prompt in PROMPTS:
        answer = alice.ask("POST", "/runs/wait", {"prompt": prompt})
        path = f"/runs/{answer.json()['run_id']}"
        yield f"POST /runs/wait {prompt!r}", answer_text(answer)
        yield f"stream of {prompt!r}", answer_text(alice.ask("GET", f"{path}/stream"))
    yield from _decided(alice)
    yield from _ordered(alice)
    yield from _crowded(alice)


def _decided(alice: Owner) -> Iterator[tuple[str, str]]:
    """Every order that a run takes, and what it answers."""
    task = {"prompt": "add todo decide, then 2 + 2", "mode": "plan"}
    for act, body in (("approve", {}), ("reject", {"reason": "no"}), ("cancel", {})):
        answer = alice.ask("POST", "/runs/wait", task)
        path = f"/runs/{answer.json()['run_id']}"
        yield f"{act}: POST /runs/wait", answer_text(answer)
        decided = alice.ask("POST", f"{path}/{act}", body)
        assert decided.is_success, decided.text
        alice.rested(answer.json()["run_id"])
        yield f"{act}: GET {act}", answer_text(alice.ask("GET", path))


def _ordered(alice: Owner) -> Iterator[tuple[str, str]]:
    failed = alice.run("add todo begun, then calculate 1 / 0, then add todo over")["run_id"]
    path = f"/runs/{failed}"
    retried = alice.ask("POST", f"{path}/retry", {"skip": [2]})
    yield "retry", alike(answer_text(retried), QUEUED)
    alice.rested(failed)
    yield "retried", answer_text(alice.ask("GET", path))
    place = alice.checkpoints(failed)[0]["checkpoint_id"]
    forked = alice.ask("POST", f"{path}/fork", {"checkpoint_id": place})
    yield "fork", answer_text(forked)
    alice.rested(forked.json()["run_id"])
    yield "forked", answer_text(alice.ask("GET", f"/runs/{forked.json()['run_id']}"))
    yield "delete", answer_text(alice.ask("DELETE", path))
    yield "deleted", answer_text(alice.ask("GET", path))
    yield "budget", answer_text(alice.ask("GET", "/budget"))
    health = alice.get("/health")
    health["storage"] = sorted(health["storage"])  # sizes and paths are of this machine
    yield "health", json.dumps(health)


def _crowded(alice: Owner) -> Iterator[tuple[str, str]]:
    """One run that is executed, one that waits for its slot, and no place for a third."""
    task = {"prompt": "sleep 3000 seconds"}
    executed = alice.start(**task)
    alice.at_step(executed, 1)
    queued = alice.start(**task)
    yield "queued", answer_text(alice.ask("GET", f"/runs/{queued}"))
    yield "too many", alike(answer_text(alice.ask("POST", "/runs", task)), CROWDED)
    for run_id in (queued, executed):
        cancelled = alice.ask("POST", f"/runs/{run_id}/cancel")
        yield (
            f"cancel of the {'queued' if run_id == queued else 'executed'}",
            answer_text(cancelled),
        )
