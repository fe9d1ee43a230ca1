"""Which plans a person is asked about, and with what."""

from typing import Literal

from typing_extensions import TypedDict

#: Which plans are executed only when a person has approved them: none, those that have a step whose
#: tool has effects, or all.
Approve = Literal["never", "effects", "always"]


class PlannedTool(TypedDict):
    """A tool that a plan uses, and in which steps; `effects`: whether a call changes something."""

    tool: str
    effects: bool
    steps: list[int]


class Approval(TypedDict):
    """What a person was asked about the plan, and until when; times in epoch seconds."""

    asked_at: float
    expires_at: float
    tools: list[PlannedTool]


class Asks(TypedDict):
    """That a person is to be asked about a plan before it goes on; `expires` in seconds."""

    tools: list[PlannedTool]
    expires: float
