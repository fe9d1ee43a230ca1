"""What a cancellation answers: what was done, and what was not."""

from typing import Any

from pydantic import BaseModel, Field

from api.times import Time, rfc3339
from graph.record.record import Record
from graph.state import Status


class StepDone(BaseModel):
    """A step whose effect stays."""

    step: int = Field(description="Its place in the plan, counted from 1.")
    tool: str = Field(description="The tool that it called.")


class StepNotDone(BaseModel):
    """A step that did not come to its end."""

    step: int = Field(description="Its place in the plan, counted from 1.")
    tool: str = Field(description="The tool that it calls.")
    may_have_acted: bool = Field(
        description="Whether an attempt that did not succeed may have changed something."
    )


class InFlight(BaseModel):
    """The attempt that was cut off."""

    step: int = Field(description="The step of the plan.")
    tool: str = Field(description="The tool that was called.")
    attempt: int = Field(description="Which attempt at the step, counted from 1.")
    may_have_acted: bool = Field(description="Whether it may have changed something by then.")
    thread_running: bool = Field(
        description="Whether its tool could not be stopped and may have gone on."
    )


class Cancelled(BaseModel):
    """A cancelled run; asked again, the answer is the same."""

    run_id: str = Field(description="The id of the run.")
    status: Status = Field(description="`cancelled`.")
    cancelled_at: Time = Field(description="When it was settled.")
    message: str = Field(description="What was done and what was not, in words.")
    done: list[StepDone] = Field(description="The steps that were completed.")
    in_flight: InFlight | None = Field(description="The attempt that was cut off, if one was.")
    not_done: list[StepNotDone] = Field(
        description="The other steps of the plan, the one in flight among them."
    )


def present_cancelled(record: Record) -> dict[str, Any]:
    """The answer to the cancellation of a run, from its record, as `Cancelled` documents it."""
    steps, attempts = record["plan"]["steps"], record["execution_log"]
    done = {entry["step"] for entry in attempts if entry["status"] == "ok"}
    acted = {entry["step"] for entry in attempts if entry.get("may_have_acted")}
    return {
        "run_id": record["run_id"],
        "status": record["status"],
        "cancelled_at": rfc3339(record["completed_at"]),
        "message": record["error"]["message"] if record["error"] else "cancelled",
        "done": [
            {"step": step["step"], "tool": step["tool"]} for step in steps if step["step"] in done
        ],
        "in_flight": _in_flight(record),
        "not_done": [
            {
                "step": step["step"],
                "tool": step["tool"],
                "may_have_acted": step["step"] in acted,
            }
            for step in steps
            if step["step"] not in done
        ],
    }


def _in_flight(record: Record) -> dict[str, Any] | None:
    last = record["execution_log"][-1:]
    if not last or last[0]["status"] != "cancelled":
        return None
    told = ("step", "tool", "attempt", "may_have_acted", "thread_running")
    return {name: last[0][name] for name in told}
