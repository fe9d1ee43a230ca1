"""How a run is explained: the three sentences, and the causes of its end."""

from typing import Any, cast

from graph.record.explain import Explanation, explain
from graph.state import RunState, run_error
from tests.support.runs.run_states import (
    CREATED_AT,
    attempted,
    cancelled,
    completed,
    finished,
    planned,
    queued,
)

_FAILURE: Any = {"type": "ToolError", "message": "<reason>", "retryable": True}
_MARK: Any = {"kind": "mark", "by": "<by>", "detail": None}


def messages() -> dict[str, str]:
    """By what became of the run; the sentences in their order, then the causes in theirs."""
    told = {}
    for key, explained in _explanations().items():
        for number, sentence in enumerate(explained["sentences"], start=1):
            told[f"{key}.{number}"] = sentence
        for number, link in enumerate(explained["causes"], start=1):
            told[f"{key}.cause.{number}"] = link["message"]
    return told


def _explanations() -> dict[str, Explanation]:
    going = attempted(planned(queued()))
    return {
        "queued": explain(queued(), now=CREATED_AT + 7),
        "new": explain(queued(), now=CREATED_AT),
        "going-on": explain(going, now=CREATED_AT + 60),
        "taken-up": explain(_taken_up(going), now=CREATED_AT + 10),
        "largest": explain(_but(_short(), completed_at=CREATED_AT + 2.1), now=0),
        "left-out": explain(_but(going, cursor=2, skipped=[1]), now=CREATED_AT + 60),
        "waiting": explain(_asked(), now=CREATED_AT + 3 * 86_400),
        "completed": explain(finished(), now=0),
        "completed.again": explain(_told_to_go_on(), now=0),
        "failed": explain(_failed(), now=0),
        "failed.final": explain(_failed(retryable=False), now=0),
        "cancelled": explain(_cut_off(), now=0),
        "rejected": explain(_rejected(), now=0),
        "given-up": explain(_given_up(), now=0),
        "unplanned": explain(_unplanned(), now=0),
    }


def _but(state: RunState, **fields: Any) -> RunState:
    return cast("RunState", {**state, **fields})


def _taken_up(state: RunState) -> RunState:
    return _but(state, log=[*state["log"], {**_MARK, "what": "taken_up", "at": CREATED_AT + 9}])


def _short() -> RunState:
    return completed(attempted(planned(queued(), 1), started_at=CREATED_AT + 1.5))


def _asked() -> RunState:
    approval = {"asked_at": CREATED_AT + 2, "expires_at": CREATED_AT + 1000, "tools": []}
    return _but(planned(queued()), status="waiting", approval=approval)


def _told_to_go_on() -> RunState:
    """Planned in two calls of a model, retried, told to go on and taken up twice."""
    state = planned(queued())
    call: Any = {**state["planning_log"][0], "planner": "llm", "model": "<model>"}
    marks = [{**_MARK, "what": "taken_up", "at": CREATED_AT + at} for at in (20, 30)]
    marks.append({**_MARK, "what": "retry", "at": CREATED_AT + 40})
    state = attempted(state, status="error", error=_FAILURE, retry_at=CREATED_AT + 4)
    done = attempted(attempted(_but(state, log=[*state["log"], *marks])))
    by: Any = {**cast("Any", state["planned_by"]), "model": "<model>"}
    return completed(_but(done, planned_by=by, planning_log=[call, call]))


def _failed(*, retryable: bool = True) -> RunState:
    state = attempted(planned(queued()))
    error = {**_FAILURE, "retryable": retryable}
    for _ in range(3 if retryable else 1):
        state = attempted(state, status="error", error=error, output=None)
    ended = run_error("step_failed", "<reason>", step=2)
    return _but(state, status="failed", error=ended, completed_at=CREATED_AT + 60)


def _cut_off() -> RunState:
    state = cancelled(planned(queued()), cut_off=True)
    state["log"][-1]["error"] = {"type": "Cancelled", "message": "<reason>", "retryable": False}  # type: ignore[typeddict-unknown-key]
    return state


def _rejected() -> RunState:
    mark = {**_MARK, "what": "rejected", "at": CREATED_AT + 9, "detail": "<reason>"}
    error = run_error("rejected", "<message>")
    return _but(
        planned(queued()), status="cancelled", error=error, log=[mark], completed_at=CREATED_AT + 9
    )


def _given_up() -> RunState:
    marks = [
        {**_MARK, "what": "taken_up", "at": CREATED_AT + at, "detail": detail}
        for at, detail in ((5, None), (9, "<detail>"))
    ]
    error = run_error("internal", "<message>")
    return _but(queued(), status="failed", error=error, log=marks, completed_at=CREATED_AT + 30)


def _unplanned() -> RunState:
    call: Any = {**planned(queued())["planning_log"][0], "outcome": "refused"}
    failed = {**call, "planner": "llm", "model": "<model>", "outcome": "failed"}
    unparsed: Any = [{"text": "<words>", "span": [0, 10]}]
    return _but(
        queued(),
        status="failed",
        started_at=CREATED_AT + 1,
        completed_at=CREATED_AT + 5,
        planning_log=[{**failed, "error_class": "timeout"}, call],
        error=run_error("not_understood", "<message>", unparsed=unparsed),
    )
