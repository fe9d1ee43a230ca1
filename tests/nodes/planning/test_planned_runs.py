"""A run that models plan, through the whole graph: one call a step, and every way down."""

import json
from typing import Any

import pytest

from graph.state import DEFAULT_LIMITS
from graph.storage.storage import Storage
from nodes.planning.model import MAX_RAW, Completion
from tests.support.models.planning_runs import Planning
from tests.support.models.scripted_models import (
    ScriptedModel,
    Turn,
    answer,
    calculation,
    misconfigured,
    outage,
    plan_of,
)
from tests.support.wording.messages import wording

PROSE = "I would calculate that."
FORWARD = plan_of(
    ("calculator", {"expression": "{step_2_output}"}), ("calculator", {"expression": "1"})
)


def model(name: str, *script: Turn) -> ScriptedModel:
    return ScriptedModel(name, list(script))


async def test_a_good_plan_is_executed_with_its_references(storage: Storage) -> None:
    first = model(
        "a/one",
        plan_of(
            ("calculator", {"expression": "12 * 9"}),
            ("todo_store.add", {"text": "pay {step_1_output}"}),
            ("todo_store.list", {"status": None}),
        ),
    )
    planned = await Planning(storage, first).run("work it out and write it down")
    state = planned.state

    assert state["status"] == "completed"
    assert planned.nodes == ["plan", *["execute_step"] * 3, "finalize"]
    assert state["result"] is not None
    assert [todo["text"] for todo in state["result"]["output"]] == ["pay 108"]
    assert state["planned_by"] == {
        "source": "llm",
        "model": "a/one",
        "reason": wording("planning.first"),
        "complexity": {
            "score": 2.0,
            "features": {
                "actions": 1,
                "connectors": 0,
                "references": 2,
                "conditions": 0,
                "words": 7,
                "tools": 7,
            },
        },
    }
    assert state["planning"] is None


async def test_the_record_of_a_call_says_what_it_took(storage: Storage) -> None:
    planned = await Planning(storage, model("a/one", calculation(usd=0.25))).run()
    (entry,) = planned.log

    assert entry.pop("started_at") > 0  # type: ignore[misc]
    assert entry.pop("duration_ms") >= 0  # type: ignore[misc]
    assert len(entry.pop("asked")) == 16  # type: ignore[misc]
    assert entry == {
        "planner": "llm",
        "model": "a/one",
        "outcome": "planned",
        "error_class": None,
        "transient": None,
        "reasons": [],
        "input_tokens": 10,
        "output_tokens": 10,
        "usd": 0.25,
        "raw": calculation().text,
        "rejected_plan": None,
        "round": 1,
        "purpose": "plan",
    }
    assert planned.state["usage"] == {
        "calls": 1,
        "input_tokens": 10,
        "output_tokens": 10,
        "usd": 0.25,
        "by_model": {"a/one": {"calls": 1, "input_tokens": 10, "output_tokens": 10, "usd": 0.25}},
    }


async def test_a_model_is_asked_with_the_schema_of_the_tools_and_a_time(storage: Storage) -> None:
    only = model("a/one", calculation())
    await Planning(storage, only, timeout=7.0).run("what is 2 + 2")
    (asked,) = only.calls

    assert asked.messages[-1]["content"] == "<request>\nwhat is 2 + 2\n</request>"
    assert asked.schema["properties"]["steps"]["items"]["anyOf"]
    assert asked.timeout == 7.0


@pytest.mark.parametrize(
    "bad",
    [
        answer(PROSE),
        Completion(calculation().text, "length", input_tokens=10, output_tokens=10, usd=0.001),
        FORWARD,
    ],
    ids=["prose", "cut", "forward reference"],
)
async def test_a_rejected_plan_is_repaired_once_by_the_same_model(
    storage: Storage, bad: Completion
) -> None:
    """It is shown its answer and the exact reasons; tokens and price are summed."""
    only = model("a/one", bad, calculation())
    planned = await Planning(storage, only).run()

    assert planned.state["status"] == "completed"
    assert planned.outcomes == [("a/one", "rejected"), ("a/one", "planned")]
    (reason,) = planned.log[0]["reasons"]
    first, second = only.calls
    assert second.messages[: len(first.messages)] == first.messages
    assert second.messages[-2]["content"] == bad.text
    assert reason in second.messages[-1]["content"]
    assert planned.state["usage"]["calls"] == 2
    assert planned.state["usage"]["input_tokens"] == 20
    assert planned.state["usage"]["usd"] == pytest.approx(0.002)
    after = wording("planning.after", model="a/one", reason=reason)
    assert planned.state["planned_by"]["reason"] == after  # type: ignore[index]


async def test_a_plan_rejected_twice_goes_to_the_next_model(storage: Storage) -> None:
    """Which begins afresh: it sees nothing of the first one's answers."""
    first, second = model("a/one", answer(PROSE), FORWARD), model("b/two", calculation())
    planned = await Planning(storage, first, second).run()

    assert planned.outcomes == [
        ("a/one", "rejected"),
        ("a/one", "rejected"),
        ("b/two", "planned"),
    ]
    assert planned.state["planned_by"]["model"] == "b/two"  # type: ignore[index]
    assert len(second.calls[0].messages) == 2
    assert set(planned.state["usage"]["by_model"]) == {"a/one", "b/two"}


async def test_an_endless_list_of_reasons_is_cut(storage: Storage) -> None:
    wrong = plan_of(*[("x" * 1000, {})] * 90)
    planned = await Planning(storage, model("a/one", wrong, calculation())).run()
    reasons = planned.log[0]["reasons"]

    assert len(reasons) == 6
    assert all(len(reason) <= 300 for reason in reasons)
    assert reasons[-1] == "and 85 more"


async def test_half_a_character_in_an_answer_ends_nothing(storage: Storage) -> None:
    """It can be neither stored nor sent back."""
    only = model("a/one", answer("\ud83d no JSON"), calculation())
    planned = await Planning(storage, only).run()

    assert planned.state["status"] == "completed"
    assert only.calls[1].messages[-2]["content"] == "? no JSON"


async def test_a_complex_task_asks_the_complex_model_first(storage: Storage) -> None:
    big, small = (
        model("a/big", calculation(), outage(), outage()),
        model("b/small", *[calculation()] * 2),
    )
    planning = Planning(storage, big, small, complex_model="a/big", threshold=3.0)
    simple = await planning.run("what is 2 + 2")
    hard = await planning.run("if it rains, add a todo, otherwise show the list")
    failed = await planning.run("if it rains, add a todo, otherwise show the list")

    assert simple.outcomes == [("b/small", "planned")]
    assert hard.outcomes == [("a/big", "planned")]
    assert failed.outcomes == [("a/big", "failed"), ("a/big", "failed"), ("b/small", "planned")]
    judged = hard.state["planned_by"]["complexity"]  # type: ignore[index]
    assert judged is not None
    assert judged["score"] >= 3.0


async def test_the_state_is_plain_data_at_every_step(storage: Storage) -> None:
    first = model("a/one", answer(PROSE), outage(retry_after=1.0), misconfigured())
    planning = Planning(storage, first, model("b/two", calculation()))
    await planning.run(thread="t", usd=1.0, tokens=10_000)

    for snapshot in await planning.checkpoints("t"):
        assert json.loads(json.dumps(snapshot.values)) == snapshot.values


async def test_limits_of_the_run_hold_for_a_models_plan(storage: Storage) -> None:
    three = plan_of(*[("calculator", {"expression": "1"})] * 3)
    limits = {**DEFAULT_LIMITS, "max_steps": 2}
    planning = Planning(storage, model("a/one", three, calculation()), limits=limits)  # type: ignore[arg-type]
    planned = await planning.run()

    assert planned.log[0]["reasons"] == [wording("plans.steps", steps=3, most=2)]


async def test_a_run_is_seen_to_be_running_while_its_first_call_is_made(storage: Storage) -> None:
    """A model may take its time; the run began before it was asked."""
    seen: list[Any] = []

    class Watched(ScriptedModel):
        async def complete(self, *arguments: Any, **named: Any) -> Any:
            (latest, *_) = await planning.checkpoints("t")
            seen.append((latest.values["run"]["status"], latest.values["run"]["started_at"]))
            return await super().complete(*arguments, **named)

    planning = Planning(storage, Watched("a/one", [calculation()]))
    await planning.run(thread="t")

    [(status, started_at)] = seen
    assert status == "running"
    assert started_at is not None


async def test_each_answer_is_kept_as_it_came(storage: Storage) -> None:
    """With what the provider's cache had; nothing where no answer came, or nothing is told."""
    told = Completion(PROSE, "stop", input_tokens=10, output_tokens=5, cached_tokens=8)
    good = calculation()
    planned = await Planning(storage, model("a/one", outage(), told, good)).run()

    kept = [(entry.get("raw"), entry.get("cached_tokens")) for entry in planned.log]
    assert kept == [(None, None), (PROSE, 8), (good.text, None)]


@pytest.mark.parametrize("letter", ["x", "\N{EURO SIGN}", "\ud800"])
async def test_of_a_long_answer_the_beginning_is_kept(storage: Storage, letter: str) -> None:
    long = answer(letter * 40_000)
    planned = await Planning(storage, model("a/one", long, calculation())).run()

    raw = planned.log[0]["raw"]
    assert MAX_RAW - 4 < len(raw.encode()) <= MAX_RAW
    assert set(raw) == {"?" if letter == "\ud800" else letter}
