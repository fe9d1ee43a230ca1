"""What a run goes on from that was settled before, or forked."""

from typing import Any, NotRequired

from typing_extensions import TypedDict

from graph.state.approval import Approval, Asks
from graph.state.outcome import RunError, Status
from graph.state.plan import Plan, PlannedBy
from graph.state.planning import Usage


class ForkedFrom(TypedDict):
    """The checkpoint that a run was forked from; it goes on with step `from_step`.

    `from_step` is null where it is planned anew. `logged` and `planned` are the lengths that its
    logs have from there, `skip` the steps that were left out there. `asks` is there where nobody
    has approved what it goes on with.
    """

    run_id: str
    checkpoint_id: str
    from_step: int | None
    skip: list[int]
    logged: int
    planned: int
    asks: NotRequired[Asks]


class Ending(TypedDict):
    """How a run stood when it was settled and somebody had it retried; times in epoch seconds.

    What events tell of the end, and of everything before it, is read from here: the state itself
    has gone on. `steps` is the length of its plan, 0 where it had none; `planned` is the length of
    its planning log. `approval` is missing in those of earlier versions; `plan` is there only
    where a person may replace it from here on.
    """

    status: Status
    error: RunError | None
    usage: Usage
    planned_by: PlannedBy | None
    steps: int
    planned: int
    generation: int
    started_at: float | None
    completed_at: float | None
    approval: NotRequired[Approval | None]
    plan: NotRequired[Plan]


class Retry(TypedDict):
    """What a retry was asked to do; the run goes on with step `from_step`.

    `from_step` is null where there is no plan yet: the run is planned again. `input` is the edited
    input of that step, `skip` the steps that are left out from now on, `ended` the end undone.
    `asks` is there where nobody has approved what the run goes on with.
    """

    from_step: int | None
    input: dict[str, Any] | None
    skip: list[int]
    generation: int
    ended: Ending
    asks: NotRequired[Asks]
