"""Answers in words at the end of a run: when a model is asked for one, and what comes of it."""

from typing import Any

import pytest

from graph.record.events import events
from graph.state import Choice, RunState
from graph.storage.storage import Storage
from nodes.planning.model import Completion, Cost
from tests.support.models.planning_runs import LIMITS, Planned, Planning
from tests.support.models.rounds import calculating, model, round_of_steps, texts
from tests.support.models.scripted_models import (
    Broken,
    ScriptedModel,
    Turn,
    answer,
    misconfigured,
    outage,
)

DIVIDED = "1 / 0"


def choice(**given: Any) -> Choice:
    return Choice(model=None, instructions=None, tools=None, **given)


async def answered(storage: Storage, *script: Turn, **options: Any) -> tuple[Planned, Any]:
    """A run whose model may answer, and that model."""
    only = model(*script)
    limits = options.pop("limits", LIMITS)
    planning = Planning(storage, only, answer=options.pop("policy", "auto"), limits=limits)
    planned = await planning.run(**options)
    assert not only.script, "the model was to be asked more often"
    return planned, only


def told(state: RunState) -> list[str]:
    return [event["type"] for event in events(state)]


def result(planned: Planned) -> Any:
    return planned.state["result"]


async def test_a_model_says_in_words_what_came_out(storage: Storage) -> None:
    planned, only = await answered(storage, calculating("6 * 7"), answer("It is 42."))

    assert result(planned) == {
        "output": 42,
        "summary": "1 step done; the result is 42",
        "answer": {"text": "It is 42.", "model": "a/one", "source": "finalize"},
    }
    assert planned.outcomes == [("a/one", "planned"), ("a/one", "answered")]
    assert [entry["purpose"] for entry in planned.log] == ["plan", "answer"]
    assert planned.state["usage"]["calls"] == 2
    assert planned.state["usage"]["usd"] == pytest.approx(0.002)
    assert told(planned.state)[-4:] == ["step.completed", "answer.attempt", "run.completed", "end"]
    *_, asked = only.calls
    assert "<request>\nwhat is 2 + 2\n</request>" in texts(asked.messages)[-1]
    assert 'status="done"' in texts(asked.messages)[-1]
