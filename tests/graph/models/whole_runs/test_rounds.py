"""Whole runs of several rounds: a real server beside aimock, for each provider's format."""

import json
from collections.abc import Iterator

import pytest

from tests.support.models.llm_house import House, each_provider, llm_house
from tests.support.models.llm_runs import answer, calls


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with llm_house(tmp_path_factory.mktemp("house")) as started:
        yield started


def round_text(*expressions: str, then: str = "done") -> str:
    """A model's answer: calculations, and what is to follow them."""
    steps = [
        {"reasoning": "asked", "tool": "calculator", "input": {"expression": expression}}
        for expression in expressions
    ]
    return json.dumps({"steps": steps, "then": then, "answer": None})


@each_provider
def test_a_model_looks_and_plans_on(house: House, name: str) -> None:
    """The second call has the first round and its output, with the same schema."""
    outcome = house.run(
        name, answer(round_text("40 + 2", then="look")), answer(round_text("{step_1_output} * 2"))
    )

    assert outcome.record["status"] == "completed", outcome.record["error"]
    assert outcome.record["result"]["output"] == 84
    assert [entry["why"] for entry in outcome.record["plan"]["rounds"]] == ["first", "look"]
    assert (outcome.requests, outcome.record["usage"]["calls"]) == (2, 2)
    last = house.mock.requests[-1]["body"]["messages"]
    assert "<output " in json.dumps(last)


@each_provider
def test_a_step_that_failed_for_good_is_mended(house: House, name: str) -> None:
    outcome = house.run(name, answer(round_text("1 / 0")), answer(round_text("6 * 7")))

    assert outcome.record["status"] == "completed", outcome.record["error"]
    assert outcome.record["result"]["output"] == 42
    assert calls(outcome.record) == [(name, "planned", None)] * 2


@each_provider
def test_a_mend_that_claims_success_without_steps_is_a_failure(house: House, name: str) -> None:
    outcome = house.run(name, answer(round_text("1 / 0")), answer(round_text()))

    assert (outcome.record["status"], outcome.record["error"]["type"]) == ("failed", "step_failed")
    assert outcome.requests == 2


@each_provider
def test_a_model_that_looks_for_ever_is_ended(house: House, name: str) -> None:
    outcome = house.run(name, answer(round_text("1 + 1", then="look")))

    assert outcome.record["status"] == "failed"
    assert outcome.record["error"]["reason"] == "rounds"
    assert outcome.requests == len(outcome.record["plan"]["steps"]) == 5
    assert outcome.record["result"]["output"] == 2
