"""The events of a run as JSON: their documentation, and their times as people read them."""

from typing import Any, get_args

from pydantic import BaseModel, Field

from api.views.times import Time, rfc3339
from graph.record.events import Event, EventType

#: What of an event's data is a time.
TIMES = ("started_at", "retry_at", "not_before", "expires_at")

EVENT_TYPES: tuple[str, ...] = get_args(EventType)


class RunEvent(BaseModel):
    """One thing that happened to a run. Its number means the same whenever it is read."""

    id: int = Field(ge=1, description="Its number, counted from 1 without a gap.")
    type: EventType = Field(
        description="What happened; `end` is the last event of every run that nobody retries."
    )
    time: Time = Field(description="When.")
    node: str | None = Field(description="The node of the graph that it happened in.")
    step: int | None = Field(description="The step of the plan that it is about.")
    attempt: int | None = Field(description="Which attempt at the step, counted from 1.")
    generation: int | None = Field(
        description="How often finished steps were told to run again before."
    )
    data: dict[str, Any] = Field(description="What the record says about it.")


class EventPage(BaseModel):
    """Events of a run in order, as its stream tells them."""

    events: list[RunEvent] = Field(description="Those after the number that was asked for.")
    last_event_id: int = Field(
        ge=1, description="The number of the run's last event so far; there may be more to ask for."
    )
    ended: bool = Field(
        description="Whether the run is settled: no more events follow unless it is retried."
    )


class Heartbeat(BaseModel):
    """The stream is alive."""

    server_time: Time = Field(description="The server's clock.")


def present_event(event: Event) -> dict[str, Any]:
    """The event with its times in RFC 3339, as `RunEvent` documents it."""
    data = event["data"]
    return {
        "id": event["id"],
        "type": event["type"],
        "time": rfc3339(event["at"]),
        "node": event["node"],
        "step": event["step"],
        "attempt": event["attempt"],
        "generation": event["generation"],
        "data": data | {name: rfc3339(data[name]) for name in TIMES if name in data},
    }
