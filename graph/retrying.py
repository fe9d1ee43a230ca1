"""Retrying a settled run: what may be asked, and the state from which the run then goes on."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired

from langchain_core.runnables import RunnableConfig
from typing_extensions import TypedDict

from graph.build import RunGraph
from graph.events import next_event
from graph.state import Asks, Ending, Mark, Plan, Retry, RunState, Step
from graph.status import WrongStatus
from nodes.approving.asking import EXPIRES
from nodes.approving.unapproved import asking_for, asks_for
from nodes.contract.outputs import InvalidOutput, plain
from nodes.contract.plan_check import check_plan
from nodes.contract.skipping import missed, next_cursor
from tools.registry import Tool


class NotRetryable(WrongStatus):
    """The run is neither failed nor cancelled, so that there is nothing to retry."""


class NotPlanned(Exception):
    """The run has no plan, and a retry was to say something about its steps by `field`."""

    def __init__(self, run_id: str, field: str) -> None:
        super().__init__(f"run {run_id} has no plan; leave {field} out")
        self.run_id = run_id
        self.field = field


class RetryRejected(Exception):
    """A retry that the run's plan does not allow; `reasons` say what would be right."""

    def __init__(self, field: str, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.field = field
        self.reasons = list(reasons)


@dataclass(frozen=True)
class RetryRequest:
    """What a person asks for; None is what suits the run.

    `from_step`: the step to begin with, by default the one at which the run stopped. `input`: an
    edited input of that step. `skip`: the steps to leave out; by default those left out before.
    """

    from_step: int | None = None
    input: dict[str, Any] | None = None
    skip: tuple[int, ...] | None = None


class RetryOrder(TypedDict):
    """A checked request, as it is kept until the run's state has taken it over."""

    from_step: int | None
    input: dict[str, Any] | None
    skip: list[int]
    generation: int
    by: str
    at: float
    asks: NotRequired[Asks]


def order_of(
    state: RunState,
    request: RetryRequest,
    tools: Mapping[str, Tool],
    *,
    by: str,
    expires: float = EXPIRES,
) -> RetryOrder:
    """The order to retry a settled run, which asks first about a plan that nobody has approved.

    `expires` is how long it then waits, in seconds. Raises `NotPlanned` and `RetryRejected`.
    """
    steps = state["plan"]["steps"]
    if not steps:
        _check_unplanned(state, request)
    from_step = _from_step(state, request) if steps else None
    order = RetryOrder(
        from_step=from_step,
        input=_kept(request.input, state),
        skip=_skip(state, request, from_step) if from_step else [],
        generation=state["generation"] + 1,
        by=by,
        at=time.time(),
    )
    if from_step:
        _check(state, order, tools)
        plan = _edited(state["plan"], order)
        left = _cursor(plan["steps"], order) < len(plan["steps"])
        if left and (asks := asks_for(state, plan, tools, expires)):
            order["asks"] = asks
    return order


def is_due(order: RetryOrder | None, state: RunState) -> bool:
    """Whether a state has not taken over an order to retry."""
    return order is not None and state["generation"] < order["generation"]


async def reopen(
    graph: RunGraph, config: RunnableConfig, state: RunState, order: RetryOrder
) -> None:
    """Let a settled run take over the order: it is pending then, with a mark that says so."""
    node = "execute_step" if state["plan"]["steps"] else "__start__"
    await graph.aupdate_state(config, _reopened(state, order), as_node=node)


async def set_running(graph: RunGraph, config: RunnableConfig, state: RunState) -> None:
    """Note that a run goes on with the plan that it was retried or forked with.

    Where nobody has approved that plan, it waits with it instead: both are one checkpoint, so that
    nothing can die in between. A run without a plan notes its start in planning.
    """
    if state["status"] == "pending" and state["plan"]["steps"]:
        update = {"status": "running", "started_at": time.time()} | asking_for(state)
        await graph.aupdate_state(config, update, as_node="execute_step")


def _from_step(state: RunState, request: RetryRequest) -> int:
    stopped, steps = state["cursor"] + 1, len(state["plan"]["steps"])
    from_step = stopped if request.from_step is None else request.from_step
    if from_step != stopped and not 1 <= from_step <= min(stopped, steps):
        reason = f"the run stopped at step {stopped}; begin with that step or an earlier one"
        raise RetryRejected("from_step", [f"{reason}, and leave steps out by `skip`"])
    if request.input is not None and from_step > steps:
        raise RetryRejected("input", ["every step is done; say by from_step which one to do again"])
    return from_step


def _check_unplanned(state: RunState, request: RetryRequest) -> None:
    """Raises `NotPlanned` where something about its steps is asked of a run that has none."""
    asked = {"from_step": request.from_step, "input": request.input, "skip": request.skip}
    for field, value in asked.items():
        if value is not None:
            raise NotPlanned(state["run_id"], field)


def _kept(value: dict[str, Any] | None, state: RunState) -> dict[str, Any] | None:
    if value is None:
        return None
    try:
        kept: dict[str, Any] = plain(value, max_bytes=state["limits"]["max_output"], what="input")
    except InvalidOutput as error:
        raise RetryRejected("input", [str(error)]) from None
    return kept


def _skip(state: RunState, request: RetryRequest, from_step: int) -> list[int]:
    """The steps left out from now on: those before stay as they were."""
    before = {step for step in state.get("skipped", []) if step < from_step}
    if request.skip is None:
        named = set() if request.from_step is None else {from_step}
        return sorted({*state.get("skipped", [])} - named | before)
    steps = len(state["plan"]["steps"])
    for step in request.skip:
        if not from_step <= step <= steps:
            within = f"{from_step} to {steps}" if from_step <= steps else "none"
            reason = f"step {step} cannot be left out; steps that can be: {within}"
            raise RetryRejected("skip", [reason])
    if request.input is not None and from_step in request.skip:
        reason = f"step {from_step} is given an edited input and left out; ask for one of the two"
        raise RetryRejected("skip", [reason])
    return sorted(before | {*request.skip})


def _check(state: RunState, order: RetryOrder, tools: Mapping[str, Tool]) -> None:
    """Raises `RetryRejected` for a plan that must not be executed."""
    steps = _edited(state["plan"], order)["steps"]
    if order["input"] is not None and (reasons := check_plan(steps, tools, state["limits"])):
        raise RetryRejected("input", reasons)
    cursor = _cursor(steps, order)
    if reasons := missed(steps, order["skip"], cursor):
        raise RetryRejected("skip", list(dict.fromkeys(reasons)))
    done = {entry["step"] for entry in state["log"] if entry.get("status") == "ok"}
    if cursor >= len(steps) and not done - {*order["skip"]}:
        raise RetryRejected("skip", ["nothing of the run would be left; keep at least one step"])


def _edited(plan: Plan, order: RetryOrder) -> Plan:
    """The plan with the edited input in it."""
    if order["input"] is None:
        return plan
    steps = [
        Step({**step, "input": order["input"]}) if step["step"] == order["from_step"] else step
        for step in plan["steps"]
    ]
    return Plan(steps=steps)


def _cursor(steps: Sequence[Step], order: RetryOrder) -> int:
    return next_cursor(steps, order["skip"], (order["from_step"] or 1) - 1)


def _reopened(state: RunState, order: RetryOrder) -> dict[str, Any]:
    """The update that turns a settled run into one that is to go on."""
    plan = _edited(state["plan"], order)
    update: dict[str, Any] = {
        "status": "pending",
        "plan": plan,
        "cursor": _cursor(plan["steps"], order),
        "attempt": 0,
        "not_before": None,
        "generation": order["generation"],
        "skipped": order["skip"],
        "log": [_mark(state, order)],
        "planning": None,
        "result": None,
        "error": None,
        "started_at": None,
        "paused": 0.0,
        "completed_at": None,
    }
    if order["input"] is not None:
        update["plan_proposed"] = state["plan_proposed"] or state["plan"]
    if not plan["steps"]:
        update["planned_by"] = None
    return update


def _mark(state: RunState, order: RetryOrder) -> Mark:
    retry = Retry(
        from_step=order["from_step"],
        input=order["input"],
        skip=order["skip"],
        generation=order["generation"],
        ended=_ending(state),
    )
    if "asks" in order:
        retry["asks"] = order["asks"]
        retry["ended"]["plan"] = state["plan"]  # whoever approves may edit it
    return Mark(
        kind="mark",
        what="retry",
        at=order["at"],
        by=order["by"],
        detail=_detail(state, order),
        event=next_event(state),
        retry=retry,
    )


def _ending(state: RunState) -> Ending:
    return Ending(
        status=state["status"],
        error=state["error"],
        usage=state["usage"],
        planned_by=state["planned_by"],
        steps=len(state["plan"]["steps"]),
        planned=len(state["planning_log"]),
        generation=state["generation"],
        started_at=state["started_at"],
        completed_at=state["completed_at"],
        approval=state.get("approval"),
    )


def _detail(state: RunState, order: RetryOrder) -> str:
    """What was asked for, in words."""
    if order["from_step"] is None:
        return "planned again"
    words = f"from step {order['from_step']} of {len(state['plan']['steps'])}"
    if order["input"] is not None:
        words += ", with an edited input"
    if order["skip"]:
        words += f", without {', '.join(f'step {step}' for step in order['skip'])}"
    return words
