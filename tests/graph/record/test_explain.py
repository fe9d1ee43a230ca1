"""Explaining runs: every moment has one part, the causes lead back, the sentences are three."""

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.views import ExplanationAnswer
from graph.commands.retry import RetryRequest
from graph.record.events import next_event
from graph.record.explain import Explanation, explain
from graph.record.generations import retried
from graph.record.reasons import PARTS, time_spent
from graph.state import ForkedFrom, Mark, PlanningCall, RunState, run_error, whole
from graph.state.row import RetryCommand
from graph.storage.storage import Storage
from tests.support.clocks import Clocks
from tests.support.models.scripted_models import ScriptedModel, outage, plan_of
from tests.support.own_tools.gate_tool import GATE
from tests.support.patience import until
from tests.support.runs.fake_runs import FakeRuns
from tests.support.runs.live_runs import Gates, attempts, in_backoff, process, rested, start, told
from tests.support.runs.run_states import (
    CREATED_AT,
    attempted,
    cancelled,
    completed,
    finished,
    planned,
    queued,
)
from tests.support.servers.asgi_clients import serving
from tests.support.servers.documented import documented
from tests.support.servers.server_process import ServerProcess
from tests.support.servers.server_process import serving as server_process
from tests.support.wording.messages import wording

STATUSES = ("pending", "running", "waiting", "completed", "failed", "cancelled")
MARKS = ("taken_up", "cancel", "retry", "skip", "approved", "rejected")

#: Around the time of the run, before it too: clocks are set back.
moments = st.floats(CREATED_AT - 10, CREATED_AT + 200)
durations = st.floats(0, 50_000)


def parts(explained: Explanation) -> dict[str, float]:
    """The parts that took any time, in seconds."""
    return {part: round(ms / 1000, 3) for part, ms in explained["time_ms"].items() if ms}


@st.composite
def states(draw: Any) -> RunState:
    """Any state, also one that no run comes to."""
    call: Any = {
        "planner": "llm",
        "model": draw(st.sampled_from(["a/b", "c/d"])),
        "outcome": draw(st.sampled_from(["planned", "failed", "skipped"])),
        "error_class": None,
        "transient": draw(st.booleans()),
        "reasons": [],
    }
    times = st.fixed_dictionaries({"started_at": moments, "duration_ms": durations})
    entry = st.one_of(
        st.fixed_dictionaries(
            {
                "kind": st.just("attempt"),
                "step": st.integers(1, 3),
                "attempt": st.integers(1, 3),
                "generation": st.integers(0, 1),
                "tool": st.just("notes.add"),
                "status": st.sampled_from(["ok", "error", "cancelled"]),
                "error": st.sampled_from([None, {"type": "E", "message": "m", "retryable": True}]),
                "retry_at": st.none() | moments,
                "started_at": moments,
                "duration_ms": durations,
            }
        ),
        st.fixed_dictionaries(
            {
                "kind": st.just("mark"),
                "what": st.sampled_from(MARKS),
                "at": moments,
                "by": st.just("client"),
                "detail": st.none() | st.text(max_size=5),
            }
        ),
    )
    state: Any = {
        **(planned(queued(), 3) if draw(st.booleans()) else queued()),
        "status": draw(st.sampled_from(STATUSES)),
        "cursor": draw(st.integers(0, 3)),
        "started_at": draw(st.none() | moments),
        "completed_at": draw(st.none() | moments),
        "planning_log": [call | draw(times) for _ in range(draw(st.integers(0, 3)))],
        "log": draw(st.lists(entry, max_size=8)),
        "error": draw(
            st.sampled_from(
                [None, run_error("step_failed", "m", step=1), run_error("internal", "m")]
            )
        ),
    }
    return cast("RunState", state)


@given(states(), moments, st.booleans())
def test_the_parts_of_any_state_add_up_to_the_total(
    state: RunState, now: float, queued: bool
) -> None:
    """Without a gap or an overlap, to the microsecond; and there are three sentences."""
    spans = time_spent(state, now=now, queued=queued)
    assert all(before.end == after.start for before, after in pairwise(spans))
    assert all(span.length > 0 for span in spans)
    explained = explain(state, now=now, queued=queued)
    total = spans[-1].end if spans else 0
    assert round(explained["total_ms"] * 1000) == total
    assert round(sum(explained["time_ms"].values()) * 1000) == total
    assert [one["start_ms"] for one in explained["spans"]] == [one.start / 1000 for one in spans]
    assert round(sum(one["length_ms"] for one in explained["spans"]) * 1000) == total
    assert list(explained["time_ms"]) == list(PARTS)
    assert len(explained["sentences"]) == 3
    assert all(sentence.endswith(".") for sentence in explained["sentences"])


def test_a_run_in_the_queue_has_spent_all_its_time_there() -> None:
    explained = explain(queued(), now=CREATED_AT + 7)

    assert parts(explained) == {"queue": 7.0}
    assert explained["total_ms"] == 7000
    assert explained["sentences"] == [
        wording(f"explanation.queued.{number}") for number in (1, 2, 3)
    ]


def test_a_retried_run_was_not_in_the_queue_until_its_last_start() -> None:
    """It had no plan yet, and its process was killed over it until it was given up."""
    times = CREATED_AT + 5, CREATED_AT + 10
    taken_up = [mark("taken_up", at) for at in times]
    state: RunState = {**queued(), "status": "running", "started_at": CREATED_AT + 1}
    failed = run_error("internal", "started 3 times without getting any further")
    given_up: RunState = {
        **state,
        "log": taken_up,
        "status": "failed",
        "error": failed,
        "completed_at": CREATED_AT + 30,
    }
    order = RetryCommand(
        from_step=None, input=None, skip=[], generation=1, by="me", at=CREATED_AT + 40
    )
    update = retried(given_up, order, next_event(given_up))
    pending: RunState = {**given_up, **update, "log": [*taken_up, *update["log"]]}
    running: RunState = {**pending, "status": "running", "started_at": CREATED_AT + 43}

    assert parts(explain(given_up, now=0)) == {"queue": 1.0, "interruption": 29.0}
    waited = {"queue": 1.0, "interruption": 9.0, "waiting": 30.0}
    assert parts(explain(pending, now=CREATED_AT + 42)) == waited | {"queue": 3.0}
    assert parts(explain(running, now=CREATED_AT + 45)) == waited | {"queue": 4.0, "planning": 2.0}


async def test_what_led_to_an_earlier_end_is_no_cause_of_the_last(storage: Storage) -> None:
    """Neither the attempt that was cut off then, nor the planner that was asked then."""
    gates = Gates()
    async with process(storage, gates, slots=1) as runs:
        first = await start(runs, "gate a")
        await until(lambda: gates.waiting)
        await runs.cancel(first, by="me", owner=None)
        await start(runs, "gate b")
        await until(lambda: gates.waiting)
        await runs.retry(first, RetryRequest(), by="me", owner=None)
        await runs.cancel(first, by="you", owner=None)
        cancelled_twice = await runs.explain(first, owner=None)
        gates.end("b")
        second = await start(runs, "hum a tune")
        await rested(runs, second)
        await runs.retry(second, RetryRequest(), by="me", owner=None)
        await rested(runs, second)
        refused_twice = await runs.explain(second, owner=None)
    by_you = wording("explanation.cancelled.cause.2").replace("client", "you")
    assert [link["message"] for link in cancelled_twice["causes"][1:]] == [by_you]
    assert [link["kind"] for link in refused_twice["causes"]] == ["run", "words", "planning"]


def test_no_part_is_most_of_the_time_that_is_less_than_half_of_it() -> None:
    state = completed(attempted(planned(queued(), 1), started_at=CREATED_AT + 1.5))
    told = explain({**state, "completed_at": CREATED_AT + 2.1}, now=0)["sentences"][1]

    assert told.startswith(wording("explanation.largest.2").partition(",")[0])
    assert "(1.0 s, 48 %)" in told


def test_a_fork_was_in_the_queue_until_it_went_on() -> None:
    """What its origin did is no time of its own."""
    origin = attempted(planned(queued(), 2))
    forked = ForkedFrom(run_id="o", checkpoint_id="c", from_step=2, skip=[], logged=1, planned=1)
    accepted = CREATED_AT + 100
    fork: RunState = {
        **origin,
        "forked_from": forked,
        "created_at": accepted,
        "started_at": accepted + 7,
    }
    done = completed(attempted(fork, started_at=accepted + 7, duration_ms=1000.0))

    assert parts(explain({**done, "completed_at": accepted + 9}, now=0)) == {
        "queue": 7.0,
        "tools": 1.0,
        "other": 1.0,
    }


def mark(what: Any, at: float) -> Mark:
    return Mark(kind="mark", what=what, at=at, by="server", detail=None)


def test_each_entry_of_the_logs_has_its_stretch_and_what_is_not_logged_has_none() -> None:
    """By their places in the record, which for a fork has those of its origin before them."""
    state = attempted(planned(queued(), 3), started_at=CREATED_AT + 2)
    state = attempted(state, started_at=CREATED_AT + 3)
    fork = ForkedFrom(run_id="o", checkpoint_id="c", from_step=2, skip=[], logged=1, planned=0)
    for run in (state, cast("RunState", {**state, "forked_from": fork})):
        spans = explain(run, now=CREATED_AT + 9)["spans"]
        found = [
            (one["part"], one["entry"]) for one in spans if one["part"] in ("planning", "tools")
        ]
        made = [("tools", 0), ("tools", 1)] if run is state else [("tools", 1)]
        assert found == [("planning", 0), *made, ("tools", None)]


def test_the_path_goes_through_the_graph_as_the_run_did_and_ends_with_it() -> None:
    assert explain(queued(), now=CREATED_AT + 1)["path"] == []
    state = attempted(planned(queued(), 2))
    through = ["__start__", "plan", "fallback_plan", "execute_step"]
    assert explain(planned(queued(), 2), now=CREATED_AT + 2)["path"] == through
    assert explain(state, now=CREATED_AT + 2)["path"] == through
    done = completed(attempted(state))
    assert explain(done, now=0)["path"] == [*through, "execute_step", "finalize", "__end__"]
    assert explain(cancelled(state), now=0)["path"] == through


def test_the_facts_are_how_far_it_is_and_what_it_used() -> None:
    state = attempted(planned(queued(), 2))
    known = ["1 of 2 steps done", "1 attempt", "planned by the pattern planner"]
    assert explain(state, now=CREATED_AT + 2)["facts"] == known
    usage = {**state["usage"], "calls": 1, "input_tokens": 8, "output_tokens": 2, "usd": 0.0042}
    log = [*state["log"], mark("taken_up", CREATED_AT + 3)]
    again = cast("RunState", {**state, "usage": usage, "log": log})
    used = ["1 call of models, 10 tokens, $0.0042", "taken up again once"]
    assert explain(again, now=CREATED_AT + 4)["facts"] == [*known, *used]
    assert explain(completed(attempted(state)), now=0)["facts"][0] == "60.0 s"


def test_a_run_that_is_done_explains_the_same_at_any_later_time() -> None:
    state = finished()

    assert explain(state, now=CREATED_AT + 100) == explain(state, now=CREATED_AT + 1e6)
    assert parts(explain(state, now=0)) == {
        "queue": 1.0,
        "planning": 0.001,
        "tools": 0.5,
        "other": 58.499,
    }


def test_what_follows_a_failed_attempt_is_a_backoff_and_then_the_wait_for_a_slot() -> None:
    error: Any = {"type": "ToolError", "message": "not yet", "retryable": True}
    failed = attempted(
        planned(queued(), 1), status="error", error=error, retry_at=CREATED_AT + 12.25
    )
    again = attempted(failed, started_at=CREATED_AT + 15.0)

    assert parts(explain(failed, now=CREATED_AT + 10))["backoff"] == 7.75
    assert parts(explain(failed, now=CREATED_AT + 20))["tools"] == 8.0  # it is being made
    explained = explain(completed(again), now=0)
    assert parts(explained)["backoff"] == 10.0
    assert parts(explained)["queue"] == 1.0 + 2.75
    assert explained["retries"]["attempts"] == 1
    assert explained["steps"][0]["backoff_ms"] == 10_000
    assert explained["steps"][0]["attempts"] == 2


def test_the_work_that_a_crash_has_lost_and_the_time_until_the_take_up_are_an_interruption() -> (
    None
):
    state = attempted(planned(queued()))  # ends at 2.25
    taken_up: Any = {"kind": "mark", "what": "taken_up", "at": CREATED_AT + 9, "by": "server"}
    log = [*state["log"], {**taken_up, "detail": None}]

    left = explain(state, now=CREATED_AT + 5, queued=True)
    on = explain({**state, "log": log}, now=CREATED_AT + 10)

    assert parts(left)["interruption"] == 2.75
    assert parts(on)["interruption"] == 6.75
    assert parts(on)["tools"] == 0.25 + 1.0
    assert on["retries"]["taken_up"] == 1
    assert on["sentences"][2] == wording("explanation.taken-up.3")


def test_a_crash_in_a_backoff_takes_only_what_is_longer_than_the_backoff() -> None:
    error: Any = {"type": "ToolError", "message": "not yet", "retryable": True}
    state = attempted(planned(queued()), status="error", error=error, retry_at=CREATED_AT + 12.25)
    mark: Any = {"kind": "mark", "what": "taken_up", "by": "server", "detail": None}

    before = {**state, "log": [*state["log"], {**mark, "at": CREATED_AT + 9}]}
    after = {**state, "log": [*state["log"], {**mark, "at": CREATED_AT + 15}]}

    told_before = parts(explain(cast("RunState", before), now=CREATED_AT + 20))
    told_after = parts(explain(cast("RunState", after), now=CREATED_AT + 20))
    assert (told_before["backoff"], told_before.get("interruption")) == (10.0, None)
    assert (told_after["backoff"], told_after["interruption"]) == (10.0, 2.75)


def asked(state: RunState, at: float) -> RunState:
    """The state of a run that waits for a person since then."""
    approval = {"asked_at": at, "expires_at": at + 1000, "tools": []}
    return cast("RunState", {**state, "status": "waiting", "approval": approval})


def test_the_time_until_a_person_says_yes_is_waiting_and_what_follows_the_queue() -> None:
    state = asked(planned(queued()), CREATED_AT + 1.001)
    approved: Any = {"kind": "mark", "what": "approved", "by": "ann", "detail": None}
    pending = {**state, "status": "running", "log": [{**approved, "at": CREATED_AT + 61.001}]}
    done = attempted(cast("RunState", pending), started_at=CREATED_AT + 63.001)

    assert parts(explain(state, now=CREATED_AT + 11.001))["waiting"] == 10.0
    assert parts(explain(done, now=CREATED_AT + 63.251)) == {
        "queue": 1.0 + 2.0,
        "planning": 0.001,
        "waiting": 60.0,
        "tools": 0.25,
    }
    assert parts(explain(cancelled(state), now=0))["waiting"] == 58.999


def test_a_retry_after_the_end_counts_what_lay_between_as_waiting() -> None:
    error: Any = {"type": "ToolError", "message": "never", "retryable": False}
    failed = attempted(planned(queued(), 1), status="error", error=error)  # ends at 2.25
    mark: Any = {
        "kind": "mark",
        "what": "retry",
        "by": "ann",
        "detail": None,
        "at": CREATED_AT + 50,
    }
    retried = cast("RunState", {**failed, "log": [*failed["log"], mark], "status": "pending"})

    explained = explain(retried, now=CREATED_AT + 53)

    assert parts(explained)["waiting"] == 47.75
    assert parts(explained)["queue"] == 1.0 + 3.0
    assert explained["retries"]["told"] == 1
    waiting = asked(retried, CREATED_AT + 50)  # cancelled at 60
    assert parts(explain(cancelled(waiting), now=0))["waiting"] == 47.75 + 10.0


def test_a_failed_step_leads_back_through_its_attempts() -> None:
    error: Any = {"type": "ToolError", "message": "no answer", "retryable": True}
    state = attempted(planned(queued()))
    for _ in range(3):
        state = attempted(state, status="error", error=error, output=None)
    failed = cast(
        "RunState",
        {
            **state,
            "status": "failed",
            "error": run_error("step_failed", "no answer", step=2),
            "completed_at": CREATED_AT + 60,
        },
    )

    explained = explain(failed, now=0)

    assert [(link["kind"], link["step"], link["attempt"]) for link in explained["causes"]] == [
        ("run", 2, None),
        ("attempt", 2, 3),
        ("attempt", 2, 2),
        ("attempt", 2, 1),
    ]
    assert explained["causes"][1]["message"] == wording(
        "explanation.failed.cause.2", reason="no answer"
    )
    assert explained["sentences"][0] == wording("explanation.failed.1", reason="no answer")


def test_a_step_that_was_left_out_is_not_told_as_done() -> None:
    state = attempted(attempted(planned(queued())))
    state = cast("RunState", {**state, "cursor": 2, "skipped": [1]})

    explained = explain(state, now=CREATED_AT + 60)

    assert explained["sentences"][0] == wording("explanation.left-out.1")


def test_a_cancelled_run_names_who_asked_and_what_was_cut_off() -> None:
    error: Any = {"type": "Cancelled", "message": "cut off", "retryable": False}
    state = cancelled(planned(queued()), cut_off=True)
    state["log"][-1]["error"] = error

    explained = explain(state, now=0)

    assert [link["kind"] for link in explained["causes"]] == ["run", "request", "attempt"]
    assert explained["causes"][1]["message"] == wording("explanation.cancelled.cause.2")


def test_an_unplanned_run_leads_back_to_its_words_and_its_models() -> None:
    base = planned(queued())["planning_log"][0]
    calls: list[Any] = [
        {**base, "planner": "llm", "model": "a/b", "outcome": "failed", "error_class": "timeout"},
        {**base, "outcome": "refused", "started_at": CREATED_AT + 4},
    ]
    unparsed: Any = [{"text": "hum a tune", "span": [0, 10]}]
    state = cast(
        "RunState",
        {
            **queued(),
            "status": "failed",
            "started_at": CREATED_AT + 1,
            "completed_at": CREATED_AT + 5,
            "planning_log": cast("list[PlanningCall]", calls),
            "error": run_error("not_understood", "not understood", unparsed=unparsed),
        },
    )

    causes = explain(state, now=0)["causes"]

    assert [link["kind"] for link in causes] == ["run", "words", "planning", "planning"]
    assert [link["message"] for link in causes] == [
        wording("explanation.unplanned.cause.1", message="not understood"),
        wording("explanation.unplanned.cause.2", words="hum a tune"),
        wording("explanation.unplanned.cause.3"),
        wording("explanation.unplanned.cause.4", model="a/b"),
    ]


async def test_real_runs_are_explained_while_they_go_on_and_afterwards(storage: Storage) -> None:
    """Stumbling, failing and cancelled ones; the parts grow with the clock and add up."""
    gates = Gates()
    async with process(storage, gates) as runs:
        going = await start(runs, "pass a, then gate b")
        await until(lambda: "b" in gates.waiting)
        first = await runs.explain(going, owner=None)
        second = await runs.explain(going, owner=None)
        stumbled = await rested(runs, await start(runs, "stumble c"))
        failed = await rested(runs, await start(runs, "pass d, then fail e"))
        cut = await runs.cancel(going, by="ann", owner=None)
        explained = {
            record["status"]: await runs.explain(record["run_id"], owner=None)
            for record in (stumbled, failed, cut)
        }
    assert first["time_ms"]["tools"] < second["time_ms"]["tools"]
    assert first["status"] == "running"
    assert explained["completed"]["retries"]["attempts"] == 1
    assert [link["kind"] for link in explained["failed"]["causes"]] == ["run", "attempt"]
    assert [link["kind"] for link in explained["cancelled"]["causes"]] == [
        "run",
        "request",
        "attempt",
    ]
    for told_of, record in zip(explained.values(), (stumbled, failed, cut), strict=True):
        assert record["completed_at"] is not None
        took = (record["completed_at"] - record["created_at"]) * 1000
        assert told_of["total_ms"] == pytest.approx(took, abs=0.01)
        assert sum(told_of["time_ms"].values()) == pytest.approx(took, abs=0.01)


async def test_a_stored_state_never_explains_less_than_an_earlier_one(storage: Storage) -> None:
    """Up to each state of its history, at the moment of the end."""
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await start(runs, "pass a, then stumble b, then pass c")
        record = await rested(runs, run_id)
        await told(runs, run_id)
        config: Any = {"configurable": {"thread_id": run_id}}
        snapshots = [one async for one in runs.graph.aget_state_history(config)]
    assert attempts(record)[-1] == (3, 1, "ok")
    now = time.time()
    for snapshot in snapshots[:-1]:
        explained = explain(whole(snapshot.values), now=now)
        assert sum(explained["time_ms"].values()) == pytest.approx(explained["total_ms"])


async def test_the_calls_of_models_are_its_planning(storage: Storage, clocks: Clocks) -> None:
    gates = Gates()
    model = ScriptedModel(
        "some/model", [outage(retry_after=30.0), plan_of(("pass", {"label": "a"}))]
    )
    async with process(storage, gates, model) as runs:
        run_id = await start(runs, "pass a")
        await until(lambda: model.calls and in_backoff(runs, run_id))
        clocks.forward(30.0)
        record = await rested(runs, run_id)
        explained = await runs.explain(record["run_id"], owner=None)
    assert record["planned_by"]
    assert record["planned_by"]["model"] == "some/model"
    assert explained["retries"]["planning"] == 1
    assert explained["time_ms"]["backoff"] >= 29_900  # before the model was asked again
    said = wording("explanation.completed.again.3", model="some/model").partition(";")[0]
    assert explained["sentences"][2].startswith(f"{said};")
    called = sum(call["duration_ms"] for call in record["planning_log"])
    assert called - 5 <= explained["time_ms"]["planning"] < called + 25_000


async def test_the_answer_is_as_documented() -> None:
    runs = FakeRuns()  # of which one is in a state that the test makes
    run_id = runs.store(cancelled(planned(queued()), cut_off=False))
    async with serving(runs) as client:
        answer = await client.get(f"/runs/{run_id}/explain")
        unknown = await client.get("/runs/x/explain")

    documented(ExplanationAnswer, answer.content)
    assert answer.json()["until"].endswith("Z")
    assert unknown.status_code == 404
    assert unknown.json()["type"] == "urn:runwright:problem:run-not-found"


@pytest.fixture
def killed_twice(tmp_path: Path) -> Iterator[tuple[ServerProcess, str]]:
    """A run of four steps whose server was killed in the second and in the third of them."""
    run_id = ""
    for step in (2, 3):
        with server_process(tmp_path, tools=GATE) as server:
            run_id = run_id or server.post(", then ".join(f"pass gate {n}" for n in range(1, 5)))
            server.open_gate(f"{step - 1}")
            server.until(run_id, lambda run: run["current"] and run["current"]["step"] == step)  # noqa: B023
            time.sleep(0.3)
            server.kill()
    with server_process(tmp_path, tools=GATE) as server:
        server.open_gate("3")
        server.open_gate("4")
        yield server, run_id


def test_a_run_that_was_killed_twice_tells_what_that_cost(
    killed_twice: tuple[ServerProcess, str],
) -> None:
    server, run_id = killed_twice
    record = server.settled(run_id)
    explained = server.client.get(f"/runs/{run_id}/explain").json()

    assert record["status"] == "completed"
    assert explained["retries"]["taken_up"] == len(record["marks"]) == 2
    assert explained["causes"] == []
    spent = explained["time_ms"]
    assert spent["interruption"] > 600  # two waits of 0.3 s were lost, and two starts
    done = sum(entry["duration_ms"] for entry in record["execution_log"])
    assert spent["tools"] == pytest.approx(done, abs=0.01)  # told to a thousandth
    assert sum(spent.values()) == pytest.approx(explained["total_ms"])
    twice = wording("explanation.completed.again.3").rpartition(" and ")[2]
    assert explained["sentences"][2].endswith(twice)
