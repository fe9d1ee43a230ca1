"""How the stored runs are made that are not finished: a server is killed in the middle of them.

What was ordered and not carried out is written by the storage itself, as the server does before it
carries anything out.
"""

import asyncio
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from graph.state import Plan, Step
from graph.state.row import ApprovalAnswer, RetryCommand
from graph.storage.open import open_storage
from tests.support.models.capture_server import capturing
from tests.support.models.llm_runs import models
from tests.support.servers.commands.process import running
from tests.support.servers.server_process import ServerProcess
from tests.support.stored.databases.settled_runs import FOR_YEARS, MODEL
from tests.support.stored.stored_runs import API_KEYS, KEYS, OWNERS, TOOLS_WHEN_MADE
from tests.support.stored.stored_server import Owner, stored_server

#: Until a failed attempt is made again, in seconds: over when the stored runs go on.
BACKOFF = "60"

#: How many runs are held in the middle; as many as can be executed at once.
SLOTS = 6


@dataclass
class _Left:
    """The runs about which there are orders, by how they stand."""

    held: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def make_unfinished(folder: Path) -> None:
    """Every state in which a killed server can leave a run, and every order."""
    with stored_server(
        folder,
        tools=TOOLS_WHEN_MADE,
        in_flight=str(SLOTS),
        approval_expires=FOR_YEARS,
        backoff=BACKOFF,
    ) as server:
        left = _in_the_middle(server)
        server.kill()
    _asking(folder)
    asyncio.run(_order(folder, left))


def _in_the_middle(server: ServerProcess) -> _Left:
    """Runs at every place of their way, more than there are slots for."""
    alice, bob, default = (Owner(server, name) for name in OWNERS)
    left = _Left()
    for n in range(5):
        left.waiting.append(alice.run(f"add todo number {n}, then 2 + {n}", mode="plan")["run_id"])
    for _ in range(3):
        task = "add todo before, then calculate 1 / 0, then add todo after"
        left.failed.append(bob.run(task)["run_id"])
    bob.start("fail 1 times, then 2 + 2")
    failing = bob.start("add todo bread, then fail 1 times, then add todo butter")
    bob.until(failing, lambda run: (run["current"] or {}).get("not_before"))
    for _ in range(SLOTS - 1):
        left.held.append(alice.start("add todo begun, then hold the door, then 3 * 3"))
        alice.at_step(left.held[-1], 2)
    retried = bob.run("calculate 1 / 0, then hold the line")["run_id"]
    bob.post(f"/runs/{retried}/retry", {"skip": [1]})
    bob.until(retried, lambda run: run["current"] and run["current"]["step"] == 2)
    default.start("what is 15% of 200")
    default.start("sing a song")
    default.start("add todo planned, then show my list", mode="plan")
    default.start("show my list", budget={"tokens": 1000, "on_exceeded": "fail"})
    [done, *_] = [one for one in alice.checkpoints(left.held[0]) if one["cursor"] == 1]
    fork = {"checkpoint_id": done["checkpoint_id"], "state": {"prompt": "6 * 6"}}
    alice.post(f"/runs/{left.held[0]}/fork", fork)
    return left


def _asking(folder: Path) -> None:
    """One that a model is being asked about, by a process that leaves all others alone."""
    with capturing() as silent:
        silent.delay = 5
        settings = {"api_keys": API_KEYS, "api_key": KEYS["bob"]}
        settings["models"] = models((MODEL, f"{silent.url}/v1"))
        with running("run", "what is 40 + 2", folder=folder, **settings) as command:
            while not silent.requests:
                assert command.process.poll() is None, command.complaints
                time.sleep(0.01)


async def _order(folder: Path, left: _Left) -> None:
    """Store what was ordered and not carried out; one node is left half stored."""
    waiting, failed = left.waiting, left.failed
    edited = Plan(
        steps=[Step(step=1, tool="calculator", input={"expression": "5"}, reasoning="", span=None)]
    )
    half, cancelled, often, too_often, *_ = left.held
    with closing(sqlite3.connect(folder / "runs.db")) as database, database:
        _lose_last_checkpoint(database, half)
        last = {run_id: _last_checkpoint(database, run_id) for run_id in left.held}
    async with open_storage(f"sqlite:///{folder}/runs.db") as storage:
        index = storage.index
        assert await index.request_cancel(cancelled, at=time.time(), by="alice")
        assert await index.request_cancel(waiting[3], at=time.time(), by="alice")
        for run_id, what, plan in (
            (waiting[0], "approved", None),
            (waiting[1], "approved", edited),
            (waiting[2], "rejected", None),
        ):
            approval_answer = ApprovalAnswer(
                what=what, at=time.time(), by="alice", reason=None, plan=plan
            )  # type: ignore[typeddict-item]
            assert await index.decide(run_id, approval_answer)
        for run_id, start, given, skip in (
            (failed[0], 2, {"expression": "2 * 2"}, []),
            (failed[1], 1, None, [2]),
        ):
            order = RetryCommand(
                from_step=start, input=given, skip=skip, generation=1, by="bob", at=time.time()
            )
            assert await index.request_retry(run_id, order)
        for run_id, starts in ((often, 2), (too_often, 3)):
            await index.note_start(run_id, starts=starts, checkpoint_id=last[run_id])


def _last_checkpoint(database: sqlite3.Connection, run_id: str) -> str:
    query = "SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = ?"
    [(found,)] = database.execute(query, (run_id,))
    return str(found)


def _lose_last_checkpoint(database: sqlite3.Connection, run_id: str) -> None:
    """Leave what the last node returned, as if the process had ended before its checkpoint."""
    place = (run_id, _last_checkpoint(database, run_id))
    database.execute("DELETE FROM checkpoints WHERE thread_id = ? AND checkpoint_id = ?", place)
