"""Whole runs that a model plans: a real server beside aimock, for each provider and answer."""

import json
from collections.abc import Iterator

import pytest

from tests.support.models.llm_house import (
    BACKUP_USD,
    PROMPT,
    USD,
    House,
    assert_done,
    assert_spent,
    each_provider,
    llm_house,
)
from tests.support.models.llm_runs import BACKUP, SUM, answer, calls, health, plan_text, run
from tests.support.wording.messages import wording

UNKNOWN_TOOL = plan_text(("weather", {"city": "Paris"}))
WRONG_INPUT = plan_text(("calculator", {"formula": "40 + 2"}))
FORWARD = plan_text(
    ("calculator", {"expression": "{step_2_output} + 1"}), ("calculator", {"expression": "41"})
)

each_that_reports = pytest.mark.parametrize("name", [name for name, usd in USD.items() if usd])


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with llm_house(tmp_path_factory.mktemp("house")) as started:
        yield started


@each_provider
def test_a_good_plan_is_executed(house: House, name: str) -> None:
    outcome = house.run(name, answer(SUM))

    assert_done(outcome, name)
    assert_spent(outcome, name, 1)
    assert calls(outcome.record) == [(name, "planned", None)]
    [entry] = outcome.record["planning_log"]
    assert entry["usd"] == (pytest.approx(USD[name]) if USD[name] else None)
    assert entry["input_tokens"] == (100 if USD[name] else None)
    assert (outcome.requests, outcome.backup_requests) == (1, 0)
    assert health(house.servers[name])[name]["state"] == "ok"


@each_provider
def test_a_fenced_plan_is_executed(house: House, name: str) -> None:
    outcome = house.run(name, answer(f"```json\n{SUM}\n```"))

    assert_done(outcome, name)
    assert outcome.requests == 1


@each_provider
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (WRONG_INPUT, "expression"),
        (UNKNOWN_TOOL, "weather"),
        (FORWARD, "step_2"),
        ('{"steps": [oops', "JSON"),
        ("I would add them.", "JSON"),
    ],
    ids=["input", "tool", "forward", "json", "prose"],
)
def test_a_bad_plan_is_repaired_by_the_same_model(
    house: House, name: str, text: str, reason: str
) -> None:
    """Which is told what was wrong; the tokens of both answers are counted."""
    outcome = house.run(name, answer(text), answer(SUM))

    assert_done(outcome, name)
    assert_spent(outcome, name, 2)
    assert calls(outcome.record) == [(name, "rejected", None), (name, "planned", None)]
    reasons = outcome.record["planning_log"][0]["reasons"]
    assert reason in reasons[0]
    assert (outcome.requests, outcome.backup_requests) == (2, 0)
    asked_again = house.mock.requests[1]["body"]["messages"]
    assert reasons[0] in asked_again[-1]["content"]


@each_provider
def test_after_two_bad_plans_the_next_model_is_asked(house: House, name: str) -> None:
    outcome = house.run(name, answer(UNKNOWN_TOOL))

    assert_done(outcome, BACKUP)
    assert calls(outcome.record) == [
        (name, "rejected", None),
        (name, "rejected", None),
        (BACKUP, "planned", None),
    ]
    usage, usd = outcome.record["usage"], USD[name]
    assert usage["calls"] == 3
    assert usage["usd"] == (pytest.approx(2 * usd + BACKUP_USD) if usd else None)
    assert usage["by_model"][BACKUP]["usd"] == pytest.approx(BACKUP_USD)
    assert (outcome.requests, outcome.backup_requests) == (2, 1)


@each_that_reports
def test_a_cut_answer_is_never_taken_for_a_plan(house: House, name: str) -> None:
    """Even where its text is a whole plan; aimock has no such answer for Ollama."""
    outcome = house.run(name, answer(SUM, finishReason="length"))

    assert_done(outcome, BACKUP)
    assert [call[1] for call in calls(outcome.record)] == ["rejected", "rejected", "planned"]
    assert "length" in outcome.record["planning_log"][0]["reasons"][0]
    assert (outcome.requests, outcome.backup_requests) == (2, 1)


@pytest.mark.parametrize(
    ("name", "finish"),
    [("openai/gpt-5-mini", "content_filter"), ("anthropic/claude-sonnet-4-5", "refusal")],
)
def test_a_refusal_is_not_argued_with(house: House, name: str, finish: str) -> None:
    """No other model is asked: the pattern planner either knows better or the run fails."""
    outcome = house.run(name, answer("I cannot help with that.", finishReason=finish))

    record = outcome.record
    assert (record["status"], record["planned_by"]["source"]) == ("completed", "pattern")
    assert record["planned_by"]["reason"] == wording("planning.refused", model=name)
    assert calls(record) == [(name, "refused", None), (None, "planned", None)]
    assert (outcome.requests, outcome.backup_requests) == (1, 0)


@each_provider
def test_where_no_tool_fits_the_run_fails_with_both_reasons(house: House, name: str) -> None:
    outcome = house.run(name, answer('{"steps": []}'), prompt="what is the capital of France")

    record = outcome.record
    assert (record["status"], record["error"]["type"]) == ("failed", "not_understood")
    assert wording("planning.empty", model=name) in record["error"]["message"]
    assert "capital of France" in record["error"]["message"]
    assert calls(record) == [(name, "empty", None), (None, "refused", None)]
    assert (outcome.requests, outcome.backup_requests) == (1, 0)


def test_the_record_of_a_planned_run_is_json_with_all_that_was_spent(house: House) -> None:
    """A budget that suffices changes nothing."""
    house.mock.script(answer(SUM))

    record = run(house.servers["openai/gpt-5-mini"], PROMPT, usd=0.05, seconds=60)

    assert record["status"] == "completed"
    assert record["budget"]["usd"] == 0.05
    assert record["usage"]["by_model"]["openai/gpt-5-mini"]["calls"] == 1
    assert record["planned_by"]["complexity"]["score"] >= 0
    assert json.loads(json.dumps(record)) == record
