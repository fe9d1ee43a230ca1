"""How the stored runs are made that rest: by a few servers, one after the other, over one file."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.support.models.capture_server import CaptureServer, capturing, openai_answer
from tests.support.models.llm_runs import loaded, models, plan_text
from tests.support.servers.server_process import ServerProcess
from tests.support.stored.stored_runs import TOOLS_WHEN_MADE
from tests.support.stored.stored_server import Owner, stored_server

#: So long that no plan which waits is ever too old, in seconds.
FOR_YEARS = str(10 * 365 * 86_400)

MODEL, OTHER_MODEL = "openai/first", "openai/second"


#: More than what is stored of a log between two places where it is stored in whole.
MANY_STEPS = 55


def make_settled(folder: Path) -> None:
    """Every kind of run that rests, of three owners."""
    for part in (_done, _decided, _cancelled, _out_of_time, _planned_by_models, _taken_up):
        part(folder)


def _serving(folder: Path, **settings: str) -> Any:
    options = {"backoff": "0.05", "approval_expires": FOR_YEARS, **settings}
    return stored_server(folder, tools=TOOLS_WHEN_MADE, **options)


def _owners(server: ServerProcess) -> tuple[Owner, Owner, Owner]:
    return Owner(server, "alice"), Owner(server, "bob"), Owner(server, "default")


def _ends(record: dict[str, Any], status: str, error: str | None = None) -> dict[str, Any]:
    """The record, which is as it was meant to be."""
    told = record["error"] and record["error"]["type"]
    assert (record["status"], told) == (status, error), record
    return record


def _done(folder: Path) -> None:
    with _serving(folder) as server:
        alice, bob, default = _owners(server)
        _ends(alice.run("Add a todo to buy milk, then show me all my tasks"), "completed")
        _ends(alice.run("what is (41*7)+13"), "completed")
        _ends(
            alice.run(
                "Calculate 15% of 240 and add a todo to pay that amount,"
                " then mark buy milk as done, then show my open tasks"
            ),
            "completed",
        )
        _ends(alice.run("compute 12*12, then the result plus 6", budget={"steps": 5}), "completed")
        _ends(alice.run("delete the todo buy milk"), "completed")
        _ends(alice.run("forecast for Zürich, then forecast for  São Paulo"), "completed")
        _ends(bob.run("add todo water the plants", headers={"idempotency-key": "k-1"}), "completed")
        bob.run("add todo water the plants", headers={"idempotency-key": "k-1"})
        _ends(bob.run("fail 2 times, then 2 + 2"), "completed")
        _ends(bob.run("repeat Ж for 3000 times, then show my list"), "completed")
        _ends(default.run("what's five times (three plus two)"), "completed")
        prompt = "what's the capital of France, and add a todo to visit it"
        _ends(alice.run(prompt), "failed", "not_understood")
        _ends(
            bob.run("\u201cgrüß dich\u201d  \n\t 😀 {{braces}} {step_1_output}"),
            "failed",
            "not_understood",
        )
        _ends(
            alice.run("add todo bread, then calculate 1 / 0, then add todo butter"),
            "failed",
            "step_failed",
        )
        _ends(bob.run("fail 5 times, then show my list"), "failed", "step_failed")
        _ends(bob.run("charge -5 to Ann"), "failed", "step_failed")
        _ends(bob.run("charge 13 to Ann"), "failed", "step_failed")
        sums = ", then ".join(f"{n} + {n}" for n in range(1, MANY_STEPS + 1))
        assert _ends(default.run(sums), "completed")["progress"]["done"] == MANY_STEPS
        retried(alice, bob)
        _forked(alice)
    with closing(sqlite3.connect(folder / "runs.db")) as database, database:
        # Keys hold for a day; this one is to hold for as long as anybody compares.
        database.execute("UPDATE request_keys SET created_at = created_at + ?", (float(FOR_YEARS),))


def retried(alice: Owner, bob: Owner) -> None:
    task = "add todo first, then calculate 1 / 0, then add todo last"
    for body in ({"input": {"expression": "2 * 3"}}, {"skip": [2]}, {"from_step": 1}):
        run_id = alice.run(task)["run_id"]
        alice.post(f"/runs/{run_id}/retry", body)
        alice.rested(run_id)
    refused = alice.run("sing a song")["run_id"]
    alice.post(f"/runs/{refused}/retry", {})
    _ends(alice.rested(refused), "failed", "not_understood")
    twice = bob.run("fail 7 times")["run_id"]
    for _ in range(2):
        bob.post(f"/runs/{twice}/retry")
        bob.rested(twice)
    _ends(bob.rested(twice), "failed", "step_failed")


def _forked(alice: Owner) -> None:
    origin = alice.run("add todo origin, then 3 * 4, then show my list")["run_id"]
    places = alice.checkpoints(origin)
    [done] = [one for one in places if one["cursor"] == 2]
    for state in (
        None,
        {"prompt": "show my list"},
        {"plan": {"steps": [{"tool": "calculator", "input": {"expression": "7"}}]}, "cursor": 0},
    ):
        body = {"checkpoint_id": done["checkpoint_id"], **({"state": state} if state else {})}
        fork = alice.post(f"/runs/{origin}/fork", body)["run_id"]
        _ends(alice.rested(fork), "completed")
    removed = alice.run("5 * 5")["run_id"]
    body = {"checkpoint_id": alice.checkpoints(removed)[0]["checkpoint_id"]}
    orphan = alice.post(f"/runs/{removed}/fork", body)["run_id"]
    _ends(alice.rested(orphan), "completed")
    alice.ask("DELETE", f"/runs/{removed}").raise_for_status()


def _decided(folder: Path) -> None:
    with _serving(folder) as server:
        alice, bob, default = _owners(server)
        waiting = [
            _ends(alice.run(f"add todo number {n}, then show my list", mode="plan"), "waiting")
            for n in range(4)
        ]
        ids = [record["run_id"] for record in waiting]
        alice.post(f"/runs/{ids[0]}/approve")
        edited = [
            {"tool": "todo_store.add", "input": {"text": "another"}},
            {"tool": "calculator", "input": {"expression": "1 + 1"}},
        ]
        alice.post(f"/runs/{ids[1]}/approve", {"plan": {"steps": edited}})
        alice.post(f"/runs/{ids[2]}/reject", {"reason": "not “now”\nlater"})
        alice.post(f"/runs/{ids[3]}/cancel")
        for run_id in ids:
            alice.rested(run_id)
        rejected = bob.run("charge 4 to Bob", mode="plan")["run_id"]
        bob.post(f"/runs/{rejected}/reject")
        bob.post(f"/runs/{rejected}/retry")  # which is asked about again
        _ends(bob.rested(rejected), "waiting")
        _ends(default.run("add todo think about it", mode="plan"), "waiting")
    with _serving(folder, approve="effects") as server:
        alice, bob, default = _owners(server)
        _ends(bob.run("2 + 3"), "completed")
        _ends(bob.run("2 + 3, then charge 3 to Eve, then show my list"), "waiting")
    with _serving(folder, approval_expires="0.05") as server:
        alice, bob, default = _owners(server)
        run_id = bob.start("charge 2 to Dan", mode="plan")
        expired = bob.until(run_id, lambda run: run["status"] == "cancelled")
        _ends(expired, "cancelled", "cancelled")


def _cancelled(folder: Path) -> None:
    with _serving(folder, backoff="600", in_flight="1") as server:
        alice, bob, default = _owners(server)
        holding = alice.start("add todo begun, then hold the door, then add todo over")
        alice.at_step(holding, 2)
        queued = alice.start("add todo never begun")
        for run_id in (queued, holding):
            alice.post(f"/runs/{run_id}/cancel")
            _ends(alice.rested(run_id), "cancelled", "cancelled")
        failing = bob.start("fail 1 times, then 2 + 2")
        bob.until(failing, lambda run: (run["current"] or {}).get("not_before"))
        bob.post(f"/runs/{failing}/cancel")
        hurried = bob.start("fail 1 times, then 2 + 2, then fail 1 times")
        bob.until(hurried, lambda run: (run["current"] or {}).get("not_before"))
        bob.post(f"/runs/{hurried}/retry-now")
        bob.until(
            hurried, lambda run: run["progress"]["done"] == 2 and len(run["execution_log"]) == 4
        )
        bob.post(f"/runs/{hurried}/retry-now")
        _ends(bob.rested(hurried), "completed")
        again = default.start("block 0.5 seconds, then 1 + 1")
        default.at_step(again, 1)
        default.post(f"/runs/{again}/cancel")
        default.post(f"/runs/{again}/retry")
        _ends(default.rested(again), "completed")


def _out_of_time(folder: Path) -> None:
    with _serving(folder, step_timeout="0.1", max_output="1024", max_steps="3") as server:
        alice, bob, _ = _owners(server)
        _ends(alice.run("sleep 30 seconds"), "failed", "step_failed")
        _ends(alice.run("block 0.5 seconds"), "failed", "step_failed")
        _ends(bob.run("repeat x for 2000 times"), "failed", "step_failed")
        _ends(bob.run("1 + 1, then 2 + 2, then 3 + 3, then 4 + 4"), "failed", "plan_rejected")


def _planned_by_models(folder: Path) -> None:
    with capturing() as first, capturing() as second:
        both = models((MODEL, f"{first.url}/v1"), (OTHER_MODEL, f"{second.url}/v1"))
        settings = {
            "models": both,
            "model_prices": json.dumps({MODEL: {"input": 1, "output": 10}}),
            "breaker_failures": "1000",
        }
        with _serving(folder, **settings) as server:
            _asked(loaded(server), first, second)
        with _serving(folder, **settings, fallback="never") as server:
            alice, _, _ = _owners(loaded(server))
            first.status = second.status = 401
            _ends(alice.run("what is 5 + 5"), "failed", "plan_rejected")
        with _serving(folder, **settings, daily_budget_tokens="5470") as server:
            _, bob, _ = _owners(loaded(server))
            first.status = second.status = 200
            first.answer = openai_answer(plan_text(("calculator", {"expression": "6 * 7"})))
            planners = [bob.run("what is 6 * 7")["planned_by"]["source"] for _ in range(3)]
            assert set(planners) == {"llm", "pattern"}, planners


def _asked(server: ServerProcess, first: CaptureServer, second: CaptureServer) -> None:
    alice, bob, default = _owners(server)
    good = openai_answer(
        plan_text(
            ("calculator", {"expression": "12 * 9"}),
            ("todo_store.add", {"text": "pay {step_1_output}"}),
        )
    )
    first.answer = good
    _ends(alice.run("work out twelve nines and write it down"), "completed")
    _ends(alice.run("work it out and write it down", mode="plan"), "waiting")
    first.answer, second.answer = openai_answer("I would calculate that."), good
    _ends(alice.run("work out what twelve nines are"), "completed")
    first.answer = second.answer = openai_answer(plan_text(("no_such_tool", {"a": 1})))
    _ends(bob.run("what is 40 + 2"), "completed")
    _ends(bob.run("sing me a song about tools"), "failed", "not_understood")
    first.answer = second.answer = good
    broke = {"usd": 0.0, "on_exceeded": "fail"}
    _ends(default.run("what is 40 + 4", budget=broke), "failed", "budget_exceeded")
    thrifty = {"usd": 0.0, "tokens": 10, "seconds": 60, "on_exceeded": "pattern"}
    _ends(default.run("what is 40 + 5", budget=thrifty), "completed")
    first.status, second.status = 500, 401  # the second is left alone from then on
    _ends(bob.run("what is 40 + 3"), "completed")
    _ends(bob.run("what is 40 + 6"), "completed")
    first.status = second.status = 200


def _taken_up(folder: Path) -> None:
    with _serving(folder, grace="0.1") as server:
        alice, _, _ = _owners(server)
        stopped = alice.start("add todo at first, then sleep 2 seconds, then 9 * 9")
        alice.at_step(stopped, 2)
        server.terminate()
    with _serving(folder) as server:
        alice, bob, default = _owners(server)
        _ends(alice.rested(stopped), "completed")
        taken = bob.start("add todo before, then sleep 1 seconds, then show my list")
        bob.at_step(taken, 2)
        server.kill()
    with _serving(folder) as server:
        _, bob, default = _owners(server)
        record = _ends(bob.rested(taken), "completed")
        assert [mark["what"] for mark in record["marks"]] == ["taken_up"]
        poisonous = default.start("add todo bait, then hold the poison")
        default.at_step(poisonous, 2)
        server.kill()
    for starts in range(1, 4):
        with _serving(folder) as server:
            _, _, default = _owners(server)
            default.until(poisonous, lambda run, made=starts: len(run["marks"]) == made)
            default.at_step(poisonous, 2)
            server.kill()
    with _serving(folder) as server:
        _, _, default = _owners(server)
        _ends(default.rested(poisonous), "failed", "internal")
