"""The events of a run, as its record tells them at every moment of its life."""

import asyncio
import json
from typing import Any, cast, get_args

import pytest

from graph.commands.retry import RetryRequest
from graph.record.events import Event, EventType, events, next_event
from graph.record.record import record_of
from graph.service import Runs
from graph.state import DEFAULT_LIMITS, RunState, new_run
from graph.storage.storage import Storage
from tests.support.models.rounds import round_of_steps
from tests.support.models.scripted_models import (
    ScriptedModel,
    Turn,
    answer,
    misconfigured,
    outage,
    plan_of,
)
from tests.support.patience import patience, until
from tests.support.runs.live_runs import (
    LONG,
    Gates,
    SilentModel,
    history,
    in_backoff,
    process,
    rested,
    told,
    types,
)
from tests.support.wording.messages import wording

PLANNED = ["run.started", "plan.started", "plan.fallback", "plan.attempt", "plan.made"]
STEP = ["step.started", "step.completed"]


async def start(runs: Runs, prompt: str) -> str:
    return (await runs.start(prompt))["run_id"]


async def done(runs: Runs, prompt: str) -> list[Event]:
    """The events of a run to its end, checked at every state that was stored."""
    run_id = await start(runs, prompt)
    await rested(runs, run_id)
    return await told(runs, run_id)


def places(seen: list[Event]) -> list[tuple[int | None, int | None]]:
    """Step and attempt of each event that has them."""
    return [(event["step"], event["attempt"]) for event in seen if event["step"] is not None]


async def test_a_run_of_two_steps(storage: Storage) -> None:
    async with process(storage, Gates()) as runs:
        seen = await done(runs, "pass milk, then pass bread")
    assert types(seen) == ["run.queued", *PLANNED, *STEP, *STEP, "run.completed", "end"]
    assert places(seen) == [(1, 1), (1, 1), (2, 1), (2, 1)]
    assert [event["node"] for event in seen] == [
        None,
        "plan",
        "plan",
        "fallback_plan",
        "fallback_plan",
        "fallback_plan",
        *["execute_step"] * 4,
        "finalize",
        None,
    ]
    by_type = {event["type"]: event["data"] for event in seen}
    assert by_type["run.queued"] == {"owner": "default"}
    assert by_type["plan.fallback"] == {"reason": wording("runs.planned-by.no-model")}
    assert by_type["plan.attempt"]["outcome"] == "planned"
    assert [step["tool"] for step in by_type["plan.made"]["steps"]] == ["pass", "pass"]
    assert by_type["step.started"] == {"tool": "pass", "not_before": None}
    assert by_type["step.completed"]["output"] == "bread"
    assert by_type["run.completed"]["result"]["output"] == "bread"
    assert by_type["end"] == {"status": "completed"}
    assert {event["generation"] for event in seen if event["step"]} == {0}


async def test_a_retry(storage: Storage) -> None:
    """The failure tells when the next attempt is due, and that attempt's start the same."""
    async with process(storage, Gates()) as runs:
        seen = await done(runs, "stumble a, then pass b")
    assert types(seen)[6:] == [
        "step.started",
        "step.failed",
        *STEP,
        *STEP,
        "run.completed",
        "end",
    ]
    assert places(seen) == [(1, 1), (1, 1), (1, 2), (1, 2), (2, 1), (2, 1)]
    failed, again, following = seen[7], seen[8], seen[10]
    assert failed["data"]["error"]["message"] == "not yet"
    assert failed["data"]["retry_at"] is not None
    assert again["data"]["not_before"] == failed["data"]["retry_at"]
    assert again["at"] == failed["at"]
    assert following["data"]["not_before"] is None


async def test_a_step_that_fails_for_good(storage: Storage) -> None:
    async with process(storage, Gates()) as runs:
        seen = await done(runs, "pass a, then fail b and then pass c")
    assert types(seen)[6:] == [*STEP, "step.started", "step.failed", "run.failed", "end"]
    assert seen[-3]["data"]["retry_at"] is None
    assert seen[-2]["data"]["error"]["type"] == "step_failed"
    assert seen[-1]["data"] == {"status": "failed"}


async def test_a_refused_prompt(storage: Storage) -> None:
    async with process(storage, Gates()) as runs:
        seen = await done(runs, "sing a song")
    assert types(seen) == ["run.queued", *PLANNED[:-1], "run.failed", "end"]
    assert seen[-3]["data"]["outcome"] == "refused"
    assert seen[-2]["data"]["error"]["type"] == "not_understood"


async def test_a_plan_by_a_model(storage: Storage) -> None:
    """There is no fallback to tell of."""
    model = ScriptedModel("a/one", [plan_of(("pass", {"label": "a"}))])
    async with process(storage, Gates(), model) as runs:
        seen = await done(runs, "pass a")
    assert types(seen) == [
        "run.queued",
        "run.started",
        "plan.started",
        "plan.attempt",
        "plan.made",
        *STEP,
        "run.completed",
        "end",
    ]
    assert (seen[3]["node"], seen[4]["node"]) == ("plan", "plan")
    assert seen[3]["data"]["model"] == "a/one"
    assert seen[4]["data"]["planned_by"]["source"] == "llm"


async def test_a_plan_that_models_fail_to_make(storage: Storage) -> None:
    """Rejected, rejected again, a passing failure, a lasting one, and then the fallback."""
    prose = answer("I would do it.")
    first = ScriptedModel("a/one", [prose, prose])
    second = ScriptedModel("b/two", [outage(), misconfigured()])
    async with process(storage, Gates(), first, second) as runs:
        seen = await done(runs, "pass a")
    assert types(seen) == [
        "run.queued",
        "run.started",
        "plan.started",
        *["plan.attempt"] * 4,
        "plan.fallback",
        "plan.attempt",
        "plan.made",
        *STEP,
        "run.completed",
        "end",
    ]
    calls = [event["data"] for event in seen if event["type"] == "plan.attempt"]
    assert [(call["model"], call["outcome"]) for call in calls] == [
        ("a/one", "rejected"),
        ("a/one", "rejected"),
        ("b/two", "failed"),
        ("b/two", "failed"),
        (None, "planned"),
    ]
    assert "b/two" in seen[7]["data"]["reason"]


async def test_a_plan_that_is_repaired(storage: Storage) -> None:
    model = ScriptedModel("a/one", [plan_of(("fly", {})), plan_of(("pass", {"label": "a"}))])
    async with process(storage, Gates(), model) as runs:
        seen = await done(runs, "pass a")
    calls = [event["data"] for event in seen if event["type"] == "plan.attempt"]
    assert [call["outcome"] for call in calls] == ["rejected", "planned"]
    assert calls[0]["rejected_plan"]["steps"][0]["tool"] == "fly"
    assert "plan.fallback" not in types(seen)


async def seen_so_far(runs: Runs, run_id: str) -> list[Event]:
    async with runs.broadcaster.watching(run_id) as subscription:
        return list(subscription.events)


async def seen_up_to(runs: Runs, run_id: str, *last: str) -> list[Event]:
    """What is seen once it ends with events of these types."""

    async def seen() -> list[Event] | None:
        so_far = await seen_so_far(runs, run_id)
        return so_far if tuple(types(so_far))[-len(last) :] == last else None

    told = await until(seen)
    assert told
    return told


async def test_a_take_up_within_a_step(storage: Storage) -> None:
    """The attempt keeps the number of its start, and is made again under it."""
    gates = Gates()
    async with process(storage, gates, orderly=False) as runs:
        run_id = await start(runs, "pass a, then gate b")
        await until(lambda: gates.waiting)
        before = await seen_so_far(runs, run_id)
    assert types(before)[-1] == "step.started"
    async with process(storage, gates) as runs:
        await until(lambda: gates.waiting)
        gates.end("b")
        await rested(runs, run_id)
        seen = await told(runs, run_id)
    assert seen[: len(before)] == before
    assert types(seen)[len(before) :] == ["run.taken_up", "step.completed", "run.completed", "end"]
    assert seen[len(before)]["data"] == {"by": "server", "detail": None}
    assert seen[len(before)]["node"] is None


async def test_take_ups_in_a_row(storage: Storage) -> None:
    """Of a run that gets no further: each is told, and in the end that it is given up."""
    gates = Gates()
    run_id = None
    for _ in range(4):
        async with process(storage, gates, orderly=False) as runs:
            run_id = run_id or await start(runs, "gate a")
            await until(lambda: gates.waiting)
    async with process(storage, gates) as runs:
        assert run_id is not None
        await rested(runs, run_id)
        seen = await told(runs, run_id)
    assert types(seen)[6:] == [
        "step.started",
        *["run.taken_up"] * 3,
        "run.failed",
        "end",
    ]
    assert [event["data"]["detail"] for event in seen[7:10]] == [
        None,
        wording("runs.taken-up", start=2),
        wording("runs.taken-up", start=3),
    ]


async def test_a_take_up_in_a_backoff(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates, orderly=False, limits=LONG) as runs:
        run_id = await start(runs, "stumble a")
        before = await seen_up_to(runs, run_id, "step.failed", "step.started")
    async with process(storage, gates, limits=LONG) as runs:
        await until(lambda: in_backoff(runs, run_id))
        record = await runs.cancel(run_id, by="me", owner="default")
        seen = await told(runs, run_id)
    assert seen[: len(before)] == before
    assert types(seen)[len(before) - 2 :] == [
        "step.failed",
        "step.started",
        "run.taken_up",
        "run.cancelling",
        "run.cancelled",
        "end",
    ]
    assert record["last_event_id"] == len(seen)


@pytest.mark.parametrize("answers", [0, 1, 2])
async def test_a_take_up_during_planning(storage: Storage, answers: int) -> None:
    """Between the calls that were answered and the one that is made again."""
    gates = Gates()
    prose = answer("I would do it.")
    script: list[Turn] = [prose, outage()]
    asked = SilentModel("a/one", script[:answers])
    async with process(storage, gates, asked, orderly=False) as runs:
        run_id = await start(runs, "pass a")
        before = await seen_up_to(runs, run_id, "plan.started", *["plan.attempt"] * answers)
    model = ScriptedModel("a/one", [plan_of(("pass", {"label": "a"}))])
    async with process(storage, gates, model) as runs:
        await rested(runs, run_id)
        seen = await told(runs, run_id)
    assert seen[: len(before)] == before
    assert types(before) == [
        "run.queued",
        "run.started",
        "plan.started",
        *["plan.attempt"] * answers,
    ]
    assert types(seen)[len(before) :] == [
        "run.taken_up",
        "plan.attempt",
        "plan.made",
        *STEP,
        "run.completed",
        "end",
    ]


async def test_a_take_up_before_the_beginning(storage: Storage) -> None:
    """Only accepted, it is begun as if nothing had happened."""
    gates = Gates()
    async with process(storage, gates, slots=1, orderly=False) as runs:
        await start(runs, "gate a")
        await until(lambda: gates.waiting)
        run_id = await start(runs, "pass b")
    async with process(storage, gates) as runs:
        await rested(runs, run_id)
        seen = await told(runs, run_id)
    assert types(seen) == ["run.queued", *PLANNED, *STEP, "run.completed", "end"]


async def test_models_that_are_configured_no_more(storage: Storage) -> None:
    """What was begun with a model and is planned by patterns later is still one list."""
    gates = Gates()
    async with process(storage, gates, SilentModel("a/one", [outage()]), orderly=False) as runs:
        run_id = await start(runs, "pass a")
        before = await seen_up_to(runs, run_id, "plan.started", "plan.attempt")
    async with process(storage, gates) as runs:
        await rested(runs, run_id)
        seen = await told(runs, run_id)
    assert seen[: len(before)] == before
    assert types(seen)[2:8] == [
        "plan.started",
        "plan.attempt",
        "run.taken_up",
        "plan.fallback",
        "plan.attempt",
        "plan.made",
    ]


async def test_what_a_watcher_saw_is_what_the_record_tells_afterwards(storage: Storage) -> None:
    """Every event that was ever shown is the one of that number for good."""
    gates, shown = Gates(), list[list[Event]]()
    async with process(storage, gates) as runs:
        run_id = await start(runs, "pass a, then stumble b, then fail c")
        async with runs.broadcaster.watching(run_id) as subscription:
            while not subscription.ended:
                shown.append(list(subscription.events))
                await subscription.after(len(subscription.events))
            shown.append(list(subscription.events))
        seen = await told(runs, run_id)
    assert all(seen[: len(some)] == some for some in shown)
    assert shown[-1] == seen


async def test_every_stored_state_has_as_many_events_as_its_record_says(storage: Storage) -> None:
    async with process(storage, Gates()) as runs:
        run_id = await start(runs, "stumble a, then fail b")
        await rested(runs, run_id)
        for state in await history(runs, run_id):
            assert record_of(state)["last_event_id"] == len(events(state))
            assert next_event(state) == len(events(state)) + 1


async def test_events_are_plain_json(storage: Storage) -> None:
    """And making them changes nothing of what they are made from."""
    async with process(storage, Gates()) as runs:
        run_id = await start(runs, "stumble a, then fail b")
        await rested(runs, run_id)
        state = (await history(runs, run_id))[-1]
    before = json.dumps(state)
    seen = events(state)
    assert json.loads(json.dumps(seen)) == seen == events(state)
    assert json.dumps(state) == before


async def test_every_type_of_event_can_be_reached(storage: Storage) -> None:
    gates, found = Gates(), set[str]()
    async with process(storage, gates, orderly=False) as runs:
        cancelled = await start(runs, "stumble a, then gate b")
        await until(lambda: gates.waiting)
    async with process(storage, gates) as runs:
        await until(lambda: gates.waiting)
        await runs.cancel(cancelled, by="me", owner="default")
        found.update(types(await told(runs, cancelled)))
        for prompt in ("pass c", "fail d"):
            found.update(types(await done(runs, prompt)))
        await runs.retry(cancelled, RetryRequest(), by="me", owner=None)
        found.update(types(await told(runs, cancelled)))
        for decide in (runs.approve, runs.reject, None):
            asked = (await runs.start("pass e", approve="always"))["run_id"]
            await runs.wait(asked, timeout=patience(), owner=None)
            if decide:
                await decide(asked, by="me", owner=None)
                await rested(runs, asked)
            found.update(types(await told(runs, asked)))
    await storage.index.note_expiry(asked, 1.0)
    async with process(storage, gates) as runs:
        while (await runs.get(asked, owner=None))["status"] == "waiting":  # noqa: ASYNC110 - that is no event
            await asyncio.sleep(0.002)
        found.update(types(await told(runs, asked)))
    doubts = {"step.in_doubt", "run.resolved"}  # reached in the tests of `resolve`
    answers = {"answer.attempt"}  # in those of answers
    assert found | doubts | answers == set(get_args(EventType))


def state(**fields: Any) -> RunState:
    """A run that waits for the second of three attempts at its only step, `fields` set besides."""
    begun = new_run("task", run_id="r", owner="me", limits=DEFAULT_LIMITS, created_at=100.0)
    step = {"step": 1, "tool": "pass", "input": {}, "reasoning": "", "span": None}
    call = {"planner": "pattern", "outcome": "planned", "started_at": 102.0, "duration_ms": 500.0}
    attempt = {
        "kind": "attempt",
        "step": 1,
        "attempt": 1,
        "generation": 0,
        "status": "error",
        "retry_at": 110.0,
        "started_at": 103.0,
        "duration_ms": 1000.0,
    }
    by = {"source": "pattern", "model": None, "reason": "no model", "complexity": None}
    given = {
        "status": "running",
        "started_at": 101.0,
        "planned_by": by,
        "planning_log": [call],
        "plan": {"steps": [step]},
        "log": [attempt],
        "attempt": 1,
        "not_before": 110.0,
    }
    return cast("RunState", {**begun, **given, **fields})


def test_a_clock_that_goes_back_does_not_take_the_events_with_it() -> None:
    """The times never decrease, whatever the entries of the record say."""
    log = state()["log"]
    odd = {**log[0], "attempt": 2, "status": "ok", "started_at": 50.0, "retry_at": None}
    earlier, later = state(), state(log=[*log, odd], status="completed", completed_at=60.0)
    times = [event["at"] for event in events(later)]
    assert times == sorted(times)
    assert events(later)[: len(events(earlier))] == events(earlier)


def test_a_mark_of_an_earlier_moment_does_not_go_back_in_time() -> None:
    """A cancellation may be asked for just before the last attempt's end is stored."""
    mark = {"kind": "mark", "what": "cancel", "at": 103.5, "by": "me", "detail": None, "event": 10}
    seen = events(state(log=[*state()["log"], mark]))
    assert types(seen)[-3:] == ["step.failed", "step.started", "run.cancelling"]
    assert seen[-1]["at"] == seen[-2]["at"] == 104.0


@pytest.mark.parametrize(
    ("at", "after"),
    [
        (100.5, "run.queued"),
        (102.2, "plan.fallback"),
        (103.5, "step.started"),
        (200.0, "step.started"),
    ],
)
def test_marks_of_an_earlier_version_have_no_number_and_are_told_by_their_time(
    at: float, after: str
) -> None:
    """Their place does not change when the run goes on."""
    mark = {"kind": "mark", "what": "taken_up", "at": at, "by": "server", "detail": None}
    log = [mark, *state()["log"]] if at < 104 else [*state()["log"], mark]
    earlier = events(state(log=log))
    place = types(earlier).index("run.taken_up")
    assert types(earlier)[place - 1] == after
    ok = {**state()["log"][0], "attempt": 2, "status": "ok", "started_at": 210.0}
    later = events(state(log=[*log, ok], status="completed", completed_at=212.0))
    assert later[: len(earlier)] == earlier
    assert [event["id"] for event in later] == list(range(1, len(later) + 1))


async def test_each_generation_tells_of_its_own_answer_before_its_end(storage: Storage) -> None:
    looks = [round_of_steps(("pass", {"label": label}), then="look") for label in ("a", "b")]
    model = ScriptedModel("a/one", [looks[0], answer("Half."), looks[1], answer("More.")])
    async with process(storage, Gates(), model, answer="auto") as runs:
        run_id = (await runs.start("do it", max_rounds=1))["run_id"]
        first = await rested(runs, run_id)
        await runs.retry(run_id, RetryRequest(), by="me", owner=None)
        second = await rested(runs, run_id)
        seen = types(await told(runs, run_id))

    assert first["result"] and first["result"]["answer"]  # noqa: PT018 - one is in the other
    assert second["result"] and second["result"]["answer"]  # noqa: PT018 - as above
    assert first["result"]["answer"]["text"] == "Half."
    assert second["result"]["answer"]["text"] == "More."
    assert seen.count("answer.attempt") == 2
    end = seen.index("run.failed")
    assert seen[end - 1] == "answer.attempt"
    assert seen[-3:] == ["answer.attempt", "run.failed", "end"]
