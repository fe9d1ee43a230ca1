"""Every way down: a second try, the next model, the pattern planner, or an honest end."""

from typing import Any

import pytest

from graph.models.breaker import CircuitBreaker
from graph.storage.storage import Storage
from nodes.planning.model import Completion, ModelFailure
from tests.support.models.planning_runs import Planning
from tests.support.models.scripted_models import (
    ScriptedModel,
    Turn,
    answer,
    calculation,
    misconfigured,
    outage,
)
from tests.support.wording.messages import wording

pytestmark = pytest.mark.usefixtures("stopped")

PROSE = "I would calculate that."


def model(name: str, *script: Turn) -> ScriptedModel:
    return ScriptedModel(name, list(script))


async def test_a_passing_failure_is_tried_once_more_then_the_next_model_is_asked(
    storage: Storage,
) -> None:
    first, second = model("a/one", outage(), outage("timeout")), model("b/two", calculation())
    planning = Planning(storage, first, second)
    planned = await planning.run()

    assert planned.outcomes == [("a/one", "failed"), ("a/one", "failed"), ("b/two", "planned")]
    assert [entry["error_class"] for entry in planned.log] == ["server_error", "timeout", None]
    assert [entry["transient"] for entry in planned.log] == [True, True, None]
    assert planned.log[0]["input_tokens"] is planned.log[0]["usd"] is None
    assert planned.state["usage"]["calls"] == 1


async def test_the_second_try_waits_for_as_long_as_the_provider_asks(storage: Storage) -> None:
    only = model("a/one", outage("rate_limited", retry_after=4.0), calculation())
    planning = Planning(storage, only)
    planned = await planning.run()

    assert planned.outcomes == [("a/one", "failed"), ("a/one", "planned")]
    assert planning.waits.seconds == [pytest.approx(4.0)]


@pytest.mark.parametrize("budget", [{}, {"seconds": 3.0}], ids=["patience", "budget"])
async def test_nobody_waits_longer_than_the_time_that_there_is(
    storage: Storage, budget: dict[str, Any]
) -> None:
    """Of two deadlines, or of the budget."""
    wish = 39.5 if not budget else 4.0
    first = model("a/one", outage("rate_limited", retry_after=wish))
    planning = Planning(storage, first, model("b/two", calculation()), timeout=20.0)
    planned = await planning.run(**budget)

    assert planned.outcomes == [("a/one", "failed"), ("b/two", "planned")]
    assert planning.waits.seconds == []


async def test_a_repair_that_fails_in_passing_is_tried_again(storage: Storage) -> None:
    only = model("a/one", answer(PROSE), outage(), calculation())
    planned = await Planning(storage, only).run()

    assert [outcome for _, outcome in planned.outcomes] == ["rejected", "failed", "planned"]
    assert only.calls[1].messages == only.calls[2].messages


@pytest.mark.parametrize(
    "failure",
    [
        misconfigured(),
        misconfigured("quota_exhausted"),
        ModelFailure("context_too_long", transient=False),
    ],
    ids=str,
)
async def test_a_lasting_failure_goes_to_the_next_model_at_once(
    storage: Storage, failure: ModelFailure
) -> None:
    planning = Planning(storage, model("a/one", failure), model("b/two", calculation()))
    planned = await planning.run()

    assert planned.outcomes == [("a/one", "failed"), ("b/two", "planned")]
    after = wording("planning.after", model="a/one", reason=failure)
    assert planned.state["planned_by"]["reason"] == after  # type: ignore[index]
    assert planning.breaker.misconfigured("a/one") is failure.misconfigured


async def test_a_request_too_long_for_a_model_goes_to_a_bigger_one(storage: Storage) -> None:
    """Which was not to be asked for a simple task; and it is asked once."""
    too_long = ModelFailure("context_too_long", transient=False)
    big, small = model("a/big", too_long), model("b/small", too_long)
    planning = Planning(storage, big, small, model("c/next", calculation()), complex_model="a/big")
    planned = await planning.run()

    assert planned.outcomes == [
        ("b/small", "failed"),
        ("a/big", "failed"),
        ("c/next", "planned"),
    ]


async def test_when_every_model_fails_the_patterns_plan_and_the_record_says_why(
    storage: Storage,
) -> None:
    first = model("a/one", outage("unreachable"), outage("unreachable"))
    second = model("b/two", misconfigured())
    third = model("c/three", answer(PROSE), answer("{}"))
    planned = await Planning(storage, first, second, third).run("what is 2 + 2")

    assert planned.state["status"] == "completed"
    assert planned.nodes == [*["plan"] * 5, "fallback_plan", "execute_step", "finalize"]
    assert planned.outcomes[-1] == (None, "planned")
    by = planned.state["planned_by"]
    assert by is not None
    assert (by["source"], by["model"]) == ("pattern", None)
    assert by["complexity"] is not None
    calls = [
        ("a/one", "unreachable, twice"),
        ("b/two", "unauthorized"),
        ("c/three", wording("answers.prose")),
        ("c/three", wording("answers.steps.missing")),
    ]
    told = "; ".join(f"{name}: {why}" for name, why in calls)
    assert by["reason"] == wording("planning.none").replace("<model>: <reason>", told)


PASSING = [outage("timeout"), outage("timeout")]


@pytest.mark.parametrize(
    ("fallback", "script", "status"),
    [
        ("always", PASSING, "completed"),
        ("always", [misconfigured()], "completed"),
        ("transient", PASSING, "completed"),
        ("transient", [misconfigured()], "failed"),
        ("transient", [answer(PROSE), answer(PROSE)], "completed"),
        ("never", PASSING, "failed"),
        ("never", [misconfigured()], "failed"),
        ("never", [answer(PROSE), answer(PROSE)], "failed"),
    ],
)
async def test_the_policy_says_whether_the_patterns_may_answer(
    storage: Storage, fallback: str, script: list[Turn], status: str
) -> None:
    planned = await Planning(storage, model("a/one", *script), fallback=fallback).run()
    error = planned.state["error"]

    assert planned.state["status"] == status
    if status == "failed":
        assert "fallback_plan" not in planned.nodes
        assert error is not None
        answered = any(isinstance(turn, Completion) for turn in script)
        assert error["type"] == ("plan_rejected" if answered else "planning_failed")
        before, _, after = wording("planning.failed", model="a/one").partition("<reason>")
        assert error["message"].startswith(before)
        assert error["message"].endswith(after)
        assert planned.state["planned_by"] == {
            "source": "llm",
            "model": None,
            "reason": wording("planning.failed.planned-by"),
            "complexity": planned.state["planned_by"]["complexity"],  # type: ignore[index]
        }


EMPTY = answer('{"steps": []}')
REFUSED = Completion("I cannot help with that.", "content_filter", refused=True)


@pytest.mark.parametrize(
    ("given", "outcome"),
    [(EMPTY, "empty"), (REFUSED, "refused")],
)
async def test_a_model_that_cannot_is_not_argued_with(
    storage: Storage, given: Completion, outcome: str
) -> None:
    """Only the patterns may know better; where they do not, the run fails with both reasons."""
    known = await Planning(storage, model("a/one", given), model("b/two")).run("what is 2 + 2")
    unknown = await Planning(storage, model("a/one", given), model("b/two")).run("sing me a song")

    assert known.outcomes == [("a/one", outcome), (None, "planned")]
    assert known.state["status"] == "completed"
    reason = wording(f"planning.{outcome}", model="a/one")
    assert known.state["planned_by"]["reason"] == reason  # type: ignore[index]
    assert unknown.outcomes == [("a/one", outcome), (None, "refused")]
    assert unknown.state["error"] is not None
    assert unknown.state["error"]["type"] == "not_understood"
    assert unknown.state["error"]["message"].startswith(f"{reason}; ")
    assert unknown.state["error"]["unparsed"]


async def test_what_no_model_finds_a_tool_for_fails_where_patterns_may_not_answer(
    storage: Storage,
) -> None:
    planned = await Planning(storage, model("a/one", EMPTY), fallback="never").run()

    assert planned.nodes == ["plan", "finalize"]
    assert planned.state["error"] is not None
    assert planned.state["error"]["message"] == wording("planning.failed.empty", model="a/one")


async def test_every_reason_is_told_where_nobody_understands(storage: Storage) -> None:
    planned = await Planning(storage, model("a/one", misconfigured())).run("sing me a song")

    assert planned.state["error"] is not None
    reason = wording("planning.none", model="a/one", reason="unauthorized")
    assert planned.state["error"]["message"].startswith(f"{reason}; ")
    assert "sing me a song" in planned.state["error"]["message"]


async def test_a_model_that_an_outage_has_closed_is_skipped_without_a_call(
    storage: Storage,
) -> None:
    """The first runs pay for the outage, the next ones do not."""
    breaker = CircuitBreaker((), threshold=2, pause=60.0)
    first = model("a/one", outage(), outage(), outage())
    second = model("b/two", misconfigured())
    planning = Planning(storage, first, second, breaker=breaker)
    await planning.run()
    assert await breaker.allows("a/one")  # both attempts were one run's
    await planning.run()
    planned = await planning.run()

    assert (len(first.calls), len(second.calls)) == (3, 1)
    assert planned.outcomes == [("a/one", "skipped"), ("b/two", "skipped"), (None, "planned")]
    assert [entry["error_class"] for entry in planned.log[:2]] == ["circuit_open"] * 2
    assert [entry["transient"] for entry in planned.log[:2]] == [True, False]
    assert planned.state["usage"]["calls"] == 0


async def test_the_policy_tells_an_outage_from_a_wrong_setting_also_when_skipped(
    storage: Storage,
) -> None:
    breaker = CircuitBreaker((), threshold=1, pause=60.0)
    breaker.failed("a/one", outage(), given_up=True)
    passing = Planning(storage, model("a/one"), breaker=breaker, fallback="transient")
    assert (await passing.run()).state["status"] == "completed"

    breaker.failed("b/two", misconfigured(), given_up=True)
    lasting = Planning(storage, model("b/two"), breaker=breaker, fallback="transient")
    assert (await lasting.run()).state["status"] == "failed"


async def test_an_answer_that_is_no_plan_is_no_outage(storage: Storage) -> None:
    breaker = CircuitBreaker((), threshold=1, pause=60.0)
    await Planning(storage, model("a/one", answer(PROSE), answer(PROSE)), breaker=breaker).run()

    assert await breaker.allows("a/one")


async def test_an_outage_that_nobody_could_plan_for_looks_like_one(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    """Not as if the words had been at fault; each failure is a line of the log."""
    caplog.set_level("INFO", logger="runwright.models")
    moved = ModelFailure("redirected", transient=False, misconfigured=True, detail="to http://x")
    models = [model("a/one", outage(), outage()), model("b/two", moved)]
    planned = await Planning(storage, *models).run("sing me a song")

    error = planned.state["error"]
    assert error is not None
    assert error["type"] == "planning_failed"
    assert error["unparsed"]
    before = "no model made a plan: a/one: server_error, twice; b/two: redirected: to http://x; "
    assert error["message"].startswith(before)
    assert planned.log[2]["reasons"] == ["to http://x"]
    lines = [vars(line) for line in caplog.records if line.getMessage() == "model failed"]
    assert [(line["model"], line["error"]) for line in lines] == [
        ("a/one", "server_error"),
        ("a/one", "server_error"),
        ("b/two", "redirected"),
    ]
    assert {line["run_id"] for line in lines} == {planned.state["run_id"]}


@pytest.mark.parametrize(
    "script", [[EMPTY], [REFUSED], [answer(PROSE), answer(PROSE)], [outage(), EMPTY]]
)
async def test_where_a_model_has_answered_it_is_the_words_that_nobody_understood(
    storage: Storage, script: list[Turn]
) -> None:
    planned = await Planning(storage, model("a/one", *script)).run("sing me a song")

    assert planned.state["error"] is not None
    assert planned.state["error"]["type"] == "not_understood"


async def test_a_model_that_is_left_alone_is_an_outage_as_well(storage: Storage) -> None:
    breaker = CircuitBreaker((), threshold=1, pause=60.0)
    planning = Planning(storage, model("a/one", outage()), breaker=breaker)
    await planning.run("sing me a song")
    planned = await planning.run("sing me a song")

    assert planned.outcomes == [("a/one", "skipped"), (None, "refused")]
    assert planned.state["error"] is not None
    assert planned.state["error"]["type"] == "planning_failed"


async def test_before_anything_is_loaded_the_key_is_looked_for(storage: Storage) -> None:
    """Also where a budget asks first what a call may cost."""
    only = model("a/one")
    planning = Planning(storage, only, lacks_key=lambda name: name == "a/one")
    planned = await planning.run("sing me a song", usd=1.0)

    assert only.calls == []
    assert planned.log[0]["error_class"] == "no_api_key"
