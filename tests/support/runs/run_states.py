"""The states that a run goes through, as each is stored."""

import uuid
from typing import Any

from graph.record.events import next_event
from graph.state import (
    DEFAULT_LIMITS,
    Attempt,
    Mark,
    Plan,
    PlannedBy,
    PlanningCall,
    Result,
    RunState,
    Step,
    new_run,
    run_error,
)

CREATED_AT = 1_700_000_000.25


def queued(prompt: str = "say hello", *, run_id: str | None = None) -> RunState:
    """Accepted, and not looked at yet."""
    return {
        **new_run(
            prompt,
            run_id=run_id or str(uuid.uuid4()),
            owner="default",
            limits=DEFAULT_LIMITS,
            created_at=CREATED_AT,
        ),
        "log": [],
    }


def planned(state: RunState, steps: int = 2) -> RunState:
    """The pattern planner has made a plan of so many steps."""
    call = PlanningCall(
        planner="pattern",
        model=None,
        outcome="planned",
        error_class=None,
        transient=None,
        reasons=[],
        started_at=CREATED_AT + 1,
        duration_ms=1.0,
        input_tokens=None,
        output_tokens=None,
        usd=None,
    )
    return {
        **state,
        "status": "running",
        "started_at": CREATED_AT + 1,
        "planned_by": PlannedBy(source="pattern", model=None, reason="no model", complexity=None),
        "planning_log": [call],
        "plan": Plan(
            steps=[
                Step(
                    step=number,
                    tool="notes.add",
                    input={"text": f"note {number}"},
                    reasoning="asked for",
                    span=None,
                )
                for number in range(1, steps + 1)
            ]
        ),
    }


def attempted(state: RunState, **fields: Any) -> RunState:
    """The attempt that was due has been made; it succeeded unless `fields` say otherwise."""
    entry = Attempt(
        kind="attempt",
        step=state["cursor"] + 1,
        tool="notes.add",
        input={"text": f"note {state['cursor'] + 1}"},
        attempt=state["attempt"] + 1,
        generation=0,
        status="ok",
        output={"id": state["cursor"] + 1},
        error=None,
        retry_at=None,
        thread_running=False,
        may_have_acted=True,
        started_at=CREATED_AT + 2 + len(state["log"]),
        duration_ms=250.0,
    )
    entry.update(fields)  # type: ignore[typeddict-item]
    passed = entry["status"] == "ok"
    return {
        **state,
        "log": [*state["log"], entry],
        "cursor": state["cursor"] + passed,
        "attempt": 0 if passed else state["attempt"] + 1,
        "not_before": entry["retry_at"],
    }


def completed(state: RunState) -> RunState:
    """Everything is done."""
    return {
        **state,
        "status": "completed",
        "result": Result(output={"id": state["cursor"]}, summary="notes"),
        "completed_at": CREATED_AT + 60,
    }


def cancelled(state: RunState, *, cut_off: bool = False) -> RunState:
    """Somebody cancelled the run; with `cut_off` an attempt was in flight."""
    mark = Mark(
        kind="mark",
        what="cancel",
        at=CREATED_AT + 50,
        by="client",
        detail=None,
        event=next_event(state),
    )
    marked: RunState = {**state, "log": [*state["log"], mark]}
    left = attempted(marked, status="cancelled", output=None) if cut_off else marked
    return {
        **left,
        "status": "cancelled",
        "error": run_error("cancelled", "cancelled after some steps"),
        "not_before": None,
        "completed_at": CREATED_AT + 60,
    }


def finished(steps: int = 2) -> RunState:
    """A run that did all its steps."""
    state = planned(queued(), steps)
    for _ in range(steps):
        state = attempted(state)
    return completed(state)
