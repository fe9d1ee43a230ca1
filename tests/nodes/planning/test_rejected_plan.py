"""A model's plan that fails its check is in the record: with its call, and where the run fails."""

import json
from typing import Any, cast

import pytest
from langchain_core.runnables import RunnableConfig

from api.views import Run, shape
from graph.models.breaker import CircuitBreaker
from graph.record.record import record_of
from graph.state import PlanningCall, Step, split, whole
from graph.storage.storage import Storage
from nodes.planning.model import Completion
from nodes.planning.outcomes import MAX_KEPT, kept, last_rejected
from tests.support.models.planning_runs import Planning
from tests.support.models.scripted_models import (
    Killed,
    ScriptedModel,
    Turn,
    answer,
    calculation,
    misconfigured,
    outage,
    plan_of,
)
from tests.support.servers.documented import documented

PROSE = answer("I would calculate that.")
WEATHER = plan_of(("weather", {"city": "Paris"}))
RAIN = plan_of(("rain", {}))


def model(name: str, *script: Turn) -> ScriptedModel:
    return ScriptedModel(name, list(script))


def tools_of(plan: Any) -> list[str] | None:
    return plan and [step["tool"] for step in plan["steps"]]


def step(**fields: Any) -> Step:
    whole = {"step": 1, "tool": "t", "input": {}, "reasoning": "", "span": None, **fields}
    return cast("Step", whole)


async def test_a_rejected_plan_is_kept_with_the_call_that_made_it(storage: Storage) -> None:
    """Word for word; the plan that was made after it is the run's own."""
    planned = await Planning(storage, model("a/one", WEATHER, calculation())).run()

    assert planned.log[0]["rejected_plan"] == {
        "steps": [
            {
                "step": 1,
                "tool": "weather",
                "input": {"city": "Paris"},
                "reasoning": "as asked",
                "span": None,
            }
        ]
    }
    assert planned.log[1]["rejected_plan"] is None
    assert planned.state["error"] is None


@pytest.mark.parametrize(
    "no_plan",
    [PROSE, answer('{"steps": [{}]}'), Completion(WEATHER.text, "length")],
    ids=["prose", "another shape", "cut"],
)
async def test_an_answer_that_is_no_plan_leaves_none(storage: Storage, no_plan: Completion) -> None:
    planned = await Planning(storage, model("a/one", no_plan, no_plan)).run("sing me a song")

    assert [entry["rejected_plan"] for entry in planned.log] == [None, None, None]
    assert planned.state["error"] is not None
    assert planned.state["error"]["rejected_plan"] is None


@pytest.mark.parametrize(
    ("ladder", "budget", "prompt", "kind"),
    [
        ({}, {}, "sing me a song", "not_understood"),
        ({"fallback": "never"}, {}, "what is 2 + 2", "plan_rejected"),
        ({}, {"usd": 0.0105, "on_exceeded": "fail"}, "what is 2 + 2", "budget_exceeded"),
    ],
    ids=["patterns refuse", "patterns may not", "budget"],
)
async def test_a_run_that_ends_without_a_plan_shows_the_last_rejected_one(
    storage: Storage, ladder: dict[str, Any], budget: dict[str, Any], prompt: str, kind: str
) -> None:
    """However the other answers failed."""
    script = [WEATHER] if budget else [WEATHER, RAIN]
    models = [model("a/one", *script), model("b/two", PROSE, outage(), outage())]
    planned = await Planning(storage, *models, **ladder).run(prompt, **budget)

    assert planned.state["status"] == "failed"
    assert planned.state["error"] is not None
    assert planned.state["error"]["type"] == kind
    last = ["weather"] if budget else ["rain"]
    assert tools_of(planned.state["error"]["rejected_plan"]) == last


async def test_a_model_that_then_finds_no_tool_does_not_hide_it(storage: Storage) -> None:
    only = model("a/one", WEATHER, answer('{"steps": []}'))
    planned = await Planning(storage, only, fallback="never").run()

    assert planned.state["error"] is not None
    assert tools_of(planned.state["error"]["rejected_plan"]) == ["weather"]


async def test_a_plan_of_the_patterns_that_fails_its_check_is_the_last_one(
    storage: Storage,
) -> None:
    only = model("a/one", WEATHER, WEATHER)
    planned = await Planning(storage, only).run("what is 1 + 1, then what is 2 + 2", steps=1)

    assert planned.state["error"] is not None
    assert tools_of(planned.state["error"]["rejected_plan"]) == ["calculator", "calculator"]


def test_a_plan_too_large_to_be_kept_is_not() -> None:
    """Bytes count, not characters."""
    assert kept([step(input={"text": "x" * 7_000})]) is not None
    assert kept([step(input={"text": "x" * MAX_KEPT})]) is None
    assert kept([step(input={"text": "ä" * 5_000})]) is None
    assert kept([]) is None


def test_a_plan_that_no_checkpoint_holds_is_not_kept() -> None:
    assert kept([step(tool="half \ud83d")]) is None


async def test_half_a_character_in_the_name_of_a_tool_ends_nothing(storage: Storage) -> None:
    odd = answer(json.dumps({"steps": [{"reasoning": "", "tool": "\ud83d", "input": {}}]}))
    planned = await Planning(storage, model("a/one", odd, calculation())).run()

    assert planned.outcomes == [("a/one", "rejected"), ("a/one", "planned")]


def test_entries_of_earlier_versions_have_none() -> None:
    entry = cast("PlanningCall", {"planner": "llm", "outcome": "rejected"})

    assert last_rejected([entry]) is None


async def test_a_run_that_an_earlier_version_began_goes_on(storage: Storage) -> None:
    """Its planning knows of no waits, and its entries of no plan."""
    lost = Planning(storage, model("a/one", WEATHER, Killed()))
    with pytest.raises(Killed):
        await lost.run("sing me a song", thread="t")
    config: RunnableConfig = {"configurable": {"thread_id": "t"}}
    state = whole((await lost.graph.aget_state(config)).values)
    earlier = {key: value for key, value in state["planning"].items() if key != "waited"}
    log = [
        {key: value for key, value in entry.items() if key != "rejected_plan"}
        for entry in state["planning_log"]
    ]
    update = {"planning": earlier, "planning_log": log}
    await lost.graph.aupdate_state(config, split(update), as_node="plan")
    last = model("a/one", outage(), misconfigured())
    planned = await Planning(storage, last).drive(None, "t")

    assert planned.state["status"] == "failed"
    assert planned.state["error"] is not None
    assert planned.state["error"]["rejected_plan"] is None
    documented(Run, shape(Run).plain(record_of(planned.state)))


async def test_the_record_shows_it_as_documented(storage: Storage) -> None:
    breaker = CircuitBreaker((), threshold=3, pause=60.0)
    only = model("a/one", WEATHER, RAIN)
    planned = await Planning(storage, only, breaker=breaker, fallback="never").run()
    run = documented(Run, shape(Run).plain(record_of(planned.state)))

    shown = [call["rejected_plan"] for call in run["planning_log"]]
    assert [plan and plan["steps"][0]["tool"] for plan in shown] == ["weather", "rain"]
    assert run["error"]["rejected_plan"] == shown[1]
