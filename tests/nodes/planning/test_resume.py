"""Planning in steps: each call is a super-step that is stored, drawn, and never made twice."""

import time
from uuid import uuid4

import pytest

from graph.build import build_graph, recursion_limit
from graph.models.breaker import CircuitBreaker
from graph.storage.storage import Storage
from nodes.planning.model import Completion
from tests.support.models.planning_runs import LIMITS, Planning
from tests.support.models.scripted_models import (
    Killed,
    ScriptedModel,
    Turn,
    answer,
    calculation,
    misconfigured,
    outage,
)
from tests.support.runs.channels import flat
from tests.support.wording.messages import wording
from tools.loading import BUILTIN
from tools.registry import make_tools

pytestmark = pytest.mark.usefixtures("stopped")

PROSE = answer("I would calculate that.")


def model(name: str, *script: Turn) -> ScriptedModel:
    return ScriptedModel(name, list(script))


async def test_every_call_is_one_super_step_and_one_entry(storage: Storage) -> None:
    """A failure, its second try, a rejected answer, its repair, the next model."""
    first = model("a/one", outage(), PROSE, PROSE)
    second = model("b/two", misconfigured())
    third = model("c/three", calculation())
    planning = Planning(storage, first, second, third)
    planned = await planning.run(thread="t")
    history = list(reversed(await planning.checkpoints("t")))

    assert planned.nodes == [*["plan"] * 5, "execute_step", "finalize"]
    logged = [len(flat(snapshot.values).get("planning_log", [])) for snapshot in history]
    assert logged == [0, 0, 0, 1, 2, 3, 4, 5, 5, 5]  # the input, the beginning, the calls
    assert [snapshot.next for snapshot in history[1:]] == [
        *[("plan",)] * 6,
        ("execute_step",),
        ("finalize",),
        (),
    ]


def test_the_loop_of_planning_is_drawn() -> None:
    edges = build_graph(make_tools(BUILTIN)).get_graph().edges
    drawn = {(edge.source, edge.target) for edge in edges if edge.conditional}

    assert {("plan", "plan"), ("plan", "fallback_plan"), ("plan", "execute_step")} <= drawn


async def test_the_longest_way_down_stays_within_the_recursion_limit(storage: Storage) -> None:
    """Each model is tried again, asked to repair, and fails."""
    models = [model(f"m/{at}", outage(), PROSE, outage()) for at in range(12)]
    planned = await Planning(storage, *models).run("what is 2 + 2")

    assert planned.state["status"] == "completed"
    assert planned.nodes.count("plan") == 36 < recursion_limit(LIMITS, models=12)


async def test_every_model_that_is_passed_by_is_a_super_step_of_its_own(storage: Storage) -> None:
    """With its entry, so that the way down can be seen and is kept."""
    breaker = CircuitBreaker((), threshold=1, pause=60.0)
    names = [f"m/{at}" for at in range(12)]
    for name in names:
        breaker.failed(name, outage(), given_up=True)
    planning = Planning(storage, *map(model, names), breaker=breaker)
    planned = await planning.run("what is 2 + 2", thread="t")
    history = list(reversed(await planning.checkpoints("t")))

    assert planned.nodes == [*["plan"] * 12, "fallback_plan", "execute_step", "finalize"]
    assert planned.outcomes[:-1] == [(name, "skipped") for name in names]
    queued = [flat(snapshot.values)["planning"] for snapshot in history[2:14]]
    assert [planning and planning["queue"] for planning in queued] == [
        names[at:] for at in range(12)
    ]


@pytest.mark.parametrize(
    ("before", "after", "outcomes"),
    [
        ([Killed()], [calculation()], ["planned"]),
        ([PROSE, Killed()], [calculation()], ["rejected", "planned"]),
        ([outage(), Killed()], [PROSE, calculation()], ["failed", "rejected", "planned"]),
        ([outage(), PROSE, Killed()], [outage()], ["failed", "rejected", "failed"]),
    ],
    ids=["first call", "repair", "second try", "repair after a second try"],
)
async def test_after_a_crash_the_next_call_is_made_and_no_answered_one(
    storage: Storage, before: list[Turn], after: list[Turn], outcomes: list[str]
) -> None:
    """Another process goes on, with what the first one learned."""
    lost = Planning(storage, model("a/one", *before), model("b/two"))
    with pytest.raises(Killed):
        await lost.run(thread="t")

    again = model("a/one", *after)
    planned = await Planning(storage, again, model("b/two", calculation())).drive(None, "t")

    assert planned.state["status"] == "completed"
    assert [outcome for name, outcome in planned.outcomes if name == "a/one"] == outcomes
    assert again.script == []
    repairing = "rejected" in outcomes and PROSE in before
    assert (len(again.calls[0].messages) == 4) is repairing
    answered = sum(isinstance(attempt, Completion) for attempt in [*before, *after])
    assert planned.state["usage"]["by_model"]["a/one"]["calls"] == answered or answered == 0


async def test_a_crash_while_waiting_leaves_the_rest_of_the_wait(storage: Storage) -> None:
    lost = Planning(storage, model("a/one", outage(retry_after=9.0), Killed()))
    with pytest.raises(Killed):
        await lost.run(thread="t")
    taken_up = Planning(storage, model("a/one", calculation()))
    await taken_up.drive(None, "t")

    assert taken_up.waits.seconds == [pytest.approx(lost.waits.seconds[0])]
    assert taken_up.waits.seconds[0] > 7.0


async def test_a_clock_that_was_set_back_makes_nobody_wait_for_long(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Planning(storage, model("a/one", outage(retry_after=5.0), Killed()))
    with pytest.raises(Killed):
        await lost.run(thread="t")
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 86_400)
    taken_up = Planning(storage, model("a/one", calculation()), timeout=20.0)
    await taken_up.drive(None, "t")

    assert taken_up.waits.seconds == [pytest.approx(40.0)]


async def test_a_model_that_is_configured_no_more_is_left_out(storage: Storage) -> None:
    """Settings may change between a crash and what follows it."""
    lost = Planning(storage, model("a/one", PROSE, Killed()), model("b/two"), model("c/three"))
    with pytest.raises(Killed):
        await lost.run(thread="t")
    planned = await Planning(storage, model("c/three", calculation())).drive(None, "t")

    assert planned.outcomes == [
        ("a/one", "rejected"),
        ("a/one", "skipped"),
        ("b/two", "skipped"),
        ("c/three", "planned"),
    ]
    assert planned.log[1]["error_class"] == "not_configured"


async def test_where_no_model_is_left_the_same_run_goes_on_with_patterns(
    storage: Storage,
) -> None:
    lost = Planning(storage, model("a/one", PROSE, Killed()))
    with pytest.raises(Killed):
        await lost.run("what is 2 + 2", thread="t")
    (latest, *_) = await lost.checkpoints("t")
    bare = build_graph(
        make_tools(BUILTIN), checkpointer=storage.saver, store=storage.store, limits=LIMITS
    )
    state = flat(await bare.ainvoke(None, {"configurable": {"thread_id": "t"}}))

    assert state["status"] == "completed"
    assert state["run_id"] == flat(latest.values)["run_id"]
    assert state["planned_by"]["reason"] == wording("runs.planned-by.no-model")
    assert [entry["outcome"] for entry in state["planning_log"]] == ["rejected", "planned"]


async def test_a_second_prompt_on_a_used_thread_is_planned_anew(storage: Storage) -> None:
    """With a log and a usage of its own."""
    only = model("a/one", PROSE, calculation("1 + 1"), calculation("2 + 2"))
    planning = Planning(storage, only)
    thread = str(uuid4())
    first = await planning.drive({"prompt": "one and one"}, thread)
    second = await planning.drive({"prompt": "two and two"}, thread)

    assert first.state["run_id"] != second.state["run_id"]
    assert second.outcomes == [("a/one", "planned")]
    assert second.state["usage"]["calls"] == 1
    assert second.state["result"] is not None
    assert second.state["result"]["output"] == 4
    assert "two and two" in only.calls[-1].messages[-1]["content"]


async def test_a_prompt_after_a_planning_that_failed_starts_afresh(storage: Storage) -> None:
    only = model("a/one", PROSE, PROSE, calculation())
    planning = Planning(storage, only, fallback="never")
    failed = await planning.drive({"prompt": "one"}, "t")
    again = await planning.drive({"prompt": "two"}, "t")

    assert failed.state["status"] == "failed"
    assert again.state["status"] == "completed"
    assert again.state["error"] is None


async def test_a_prompt_in_the_middle_of_another_planning_begins_a_run_of_its_own(
    storage: Storage,
) -> None:
    """Whoever stops a run in Studio and types again is not answered for the first request."""
    lost = Planning(storage, model("a/one", PROSE, Killed()))
    with pytest.raises(Killed):
        await lost.drive({"prompt": "one and one"}, "t")
    (latest, *_) = await lost.checkpoints("t")
    only = model("a/one", calculation("2 + 2"))
    state = (await Planning(storage, only).drive({"prompt": "two and two"}, "t")).state

    assert state["run_id"] != flat(latest.values)["run_id"]
    assert state["status"] == "completed"
    assert [entry["outcome"] for entry in state["planning_log"]] == ["planned"]
    assert "one and one" not in str(only.calls[0].messages)
