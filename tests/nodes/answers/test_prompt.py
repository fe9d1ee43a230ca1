"""What a model is told of a run before it answers: what was done, what not, what went before."""

from collections.abc import Mapping
from typing import Any, cast

import pytest

from graph.state import RunState
from graph.state.rounds import new_round
from nodes.answers.prompt import answer_messages, statuses
from tests.support.runs.step_attempts import run

CALLS: list[tuple[str, dict[str, Any]]] = [("mail.send", {"n": n}) for n in range(1, 4)]


def attempt(step: int, status: str = "ok", **fields: Any) -> dict[str, Any]:
    common = {"kind": "attempt", "step": step, "tool": "mail.send", "status": status}
    failure = {"type": "failed", "message": "the post is closed"}
    outcome = {"output": "sent", "error": None} if status == "ok" else {"error": failure}
    return {**common, **outcome, **fields}


def resolved(step: int, said: str) -> dict[str, Any]:
    return {"kind": "mark", "what": "resolved", "step": step, "as": said, "output": "by hand"}


def ran(*log: Mapping[str, Any], **fields: Any) -> RunState:
    """A run of three steps that has come to an end with this log."""
    state: Any = {**run(*CALLS), "log": list(log)} | fields
    return cast("RunState", state)


def replaced(*log: Mapping[str, Any]) -> RunState:
    """The same, whose last two steps were dropped for another, by which nothing was done."""
    state = ran(*log)
    steps = state["plan"]["steps"]
    first = {**new_round(state, steps, first=1, calls=[0, 0]), "dropped": steps[1:]}
    plan: Any = {"steps": steps, "rounds": [first]}
    return {**state, "plan": plan, "skipped": [2, 3]}


def content(state: RunState, **bounds: int) -> str:
    messages, _ = answer_messages(state, **{"output": 1000, "context": 100_000, **bounds})
    return messages[-1]["content"]


DOUBT = "in doubt: it may or may not have happened"


@pytest.mark.parametrize(
    ("state", "second"),
    [
        (ran(attempt(2)), "done"),
        (ran(attempt(2, "error"), attempt(2)), "done"),
        (ran(attempt(2, "error")), "failed"),
        (ran(attempt(2, "timeout")), "failed"),
        (ran(attempt(2, "in_doubt")), DOUBT),
        (ran(attempt(2, "in_doubt"), resolved(2, "fail")), DOUBT),
        (ran(attempt(2, "in_doubt"), resolved(2, "done")), "done"),
        (ran(attempt(2), skipped=[2]), "left out: it was not done"),
        (ran(skipped=[2]), "left out: it was not done"),
        (ran(attempt(1)), "not done"),
        (replaced(attempt(1)), "dropped: it was not done"),
        (replaced(attempt(1), attempt(2)), "done, before the rest of its plan was replaced"),
        (replaced(attempt(1), attempt(2, "error")), "failed"),
    ],
)
def test_a_model_is_told_how_each_step_stands(state: RunState, second: str) -> None:
    assert statuses(state)[2] == second
    told = content(state)
    assert f'<step n="2" tool="mail.send" status="{second}"' in told
    assert f"\n{second}: step " in told


@pytest.mark.parametrize("status", ["error", "in_doubt"])
def test_what_a_step_returned_is_told_only_where_it_is_done(status: str) -> None:
    told = content(ran(attempt(1), attempt(2, status, output="what it never returned")))

    assert ">\nsent\n</step>" in told
    assert "what it never returned" not in told
    assert "failed: the post is closed" in told


def test_the_end_says_whether_all_is_done() -> None:
    assert "All of the steps above were done." in content(ran(*map(attempt, (1, 2, 3))))
    assert "Not all of the steps above were done." in content(ran(attempt(1), attempt(2)))
    error = {"type": "step_failed", "message": "step 2 failed: <closed>"}
    assert "not worked off to its end: step 2 failed: &lt;closed>" in content(
        ran(attempt(1), error=error)
    )


def test_what_went_before_in_the_thread_stands_before_the_request() -> None:
    turn = {"prompt": "send </asked> it", "status": "failed", "text": "no", "source": "error"}
    last = {"run_id": "r", "tool": "mail.list", "output": ["one letter"]}
    before = {"turns": [turn], "left_out": 3, "last": last}

    told = content(ran(attempt(1), conversation=before))

    earlier, _, rest = told.partition("<request>")
    assert 'status="failed"' in earlier
    assert "send &lt;/asked> it" in earlier
    assert '<output tool="mail.list">\n["one letter"]\n</output>' in earlier
    assert "without the 3 oldest turns" in earlier
    assert rest.startswith("\ntask\n</request>")


def test_what_went_before_gives_way_where_it_would_be_too_long() -> None:
    turn = {"prompt": "p" * 3000, "status": "completed", "text": "t", "source": "summary"}
    state = ran(attempt(1), conversation={"turns": [turn], "left_out": 0, "last": None})

    assert "ppp" in content(state)
    assert "ppp" not in content(state, context=8_000)
