"""Runs as they stand when they are to be answered: some steps done, some not."""

from typing import Any

from graph.state import DEFAULT_LIMITS, Attempt, AttemptError, Plan, RunState, Step, new_run


def attempt(number: int, tool: str, given: Any, output: Any, error: str | None) -> Attempt:
    """The one attempt at a step."""
    failed = error and AttemptError(type="ToolError", message=error, retryable=False)
    return Attempt(
        kind="attempt",
        step=number,
        tool=tool,
        input=given,
        attempt=1,
        generation=0,
        status="error" if error else "ok",
        output=output,
        error=failed or None,
        retry_at=None,
        thread_running=False,
        may_have_acted=False,
        started_at=1.0,
        duration_ms=1.0,
    )


def answerable(prompt: str, *calls: tuple[str, dict[str, Any], Any, str | None]) -> RunState:
    """A run whose steps are these: tool, input, output, and why it failed, if it has.

    What failed was mended by what follows, as a later round does it.
    """
    state = new_run(prompt, run_id="r", owner="default", limits=DEFAULT_LIMITS, created_at=1.0)
    steps = [
        Step(step=number, tool=tool, input=given, reasoning="", span=None)
        for number, (tool, given, _, _) in enumerate(calls, start=1)
    ]
    failed = [step["step"] for step, call in zip(steps, calls, strict=True) if call[3]]
    state["log"] = [attempt(number, *call) for number, call in enumerate(calls, start=1)]
    state["plan"] = Plan(steps=steps)
    state |= {"status": "completed", "cursor": len(steps), "started_at": 1.0, "skipped": failed}
    return state
