"""Asking a person about a plan, and what follows from the answer."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from langgraph.types import interrupt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from graph.state import (
    Approval,
    Approve,
    ForkedFrom,
    Limits,
    Mark,
    Plan,
    PlannedTool,
    RequiredApproval,
    Retry,
    Round,
    RunError,
    RunState,
    Step,
    Then,
    attempts,
    limits_of,
    marks,
    outputs,
    run_error,
)
from graph.state.rounds import (
    abandoned,
    approval_of,
    asked_about,
    digest,
    dropped,
    edited,
    rounds_of,
    steps_of,
)
from nodes.approval.edited_plan import PlanUnfit, first_editable, read_round
from nodes.contract.steps import (
    changed_since_asked,
    check_plan,
    in_words,
    run_tools,
    stamped,
    with_changes,
)
from tools.registry import Tool
from tools.toolbox import definition_of

#: How long a person may think about a plan, in seconds.
EXPIRES = 7 * 86_400.0

_HOW = (
    "resume with true to approve the plan, false to reject it, or an object:"
    ' {"plan": {"steps": […]}} approves an edited plan,'
    ' {"what": "rejected", "reason": "…"} rejects it with a reason'
)


class _Answer(BaseModel):
    """What the graph is resumed with, by the server as by Studio."""

    model_config = ConfigDict(extra="forbid", strict=True)

    what: Literal["approved", "rejected", "expired"]
    at: float | None = Field(None, ge=0, allow_inf_nan=False)
    by: str = "whoever resumed it"
    reason: str | None = None
    plan: Any = None
    question: int | None = None


class _Unclear(Exception):
    """An answer that decides nothing; `reasons` say what would."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


@dataclass(frozen=True)
class ApprovalGate:
    """Makes runs wait for a person where they were told to.

    `number` gives the number of a run's next event, `default` is how runs ask that bring no way of
    their own, and `expires` how many seconds they wait.
    """

    tools: Mapping[str, Tool]
    number: Callable[[RunState], int]
    default: Approve = "never"
    expires: float = EXPIRES

    def about(self, state: RunState, update: dict[str, Any]) -> dict[str, Any]:
        """A planner's update, `waiting` added where a person is to be asked about its plan."""
        if "plan" not in update or "error" in update:
            return update
        plan: Plan = update["plan"]
        *earlier, made = plan["rounds"]
        before = plan["steps"][: made["first"] - 1]
        planned = [stamped(step, self.tools) for step in steps_of(plan, made)]
        plan = Plan(steps=[*before, *planned], rounds=plan["rounds"])
        update = update | {"plan": plan}
        again = made["why"] == "replan" and _has_acted(state)
        approve = "always" if again else state.get("approve", "never")
        used = needs_approval(steps_of(plan, made), self.tools, approve)
        if not used:
            return update
        now = time.time()
        approval = Approval(asked_at=now, expires_at=now + self.expires, tools=used)
        asked = Plan(steps=plan["steps"], rounds=[*earlier, {**made, "approval": approval}])
        return update | {"status": "waiting", "approval": approval, "plan": asked}

    def ask_again(self, state: RunState, step: Step) -> dict[str, Any] | None:
        """The update by which a run waits that comes to a tool which is not what was approved."""
        changed = changed_since_asked(state, self.tools)
        if step["tool"] not in changed:
            return None
        now = time.time()
        left = state["plan"]["steps"][state["cursor"] :]
        mark = Mark(
            kind="mark",
            what="changed",
            at=now,
            by="server",
            detail=in_words({step["tool"]: changed[step["tool"]]}),
            event=self.number(state),
            step=step["step"],
            expires_at=now + self.expires,
            tools=with_changes(tools_of(left, self.tools), changed),
        )
        return {"status": "waiting", "log": [mark]}

    def answer(self, state: RunState) -> dict[str, Any]:
        """Rest until somebody decides, and the update that follows from the decision.

        An answer that decides nothing, or approves a plan that must not be executed, approves
        nothing: it is asked again, with the reasons.
        """
        reasons: list[str] = []
        while True:
            given = interrupt(plan_question(state, self.tools, reasons))
            try:
                return self._update(state, _read(given))
            except (PlanUnfit, _Unclear) as error:
                reasons = error.reasons

    def _update(self, state: RunState, answer: _Answer) -> dict[str, Any]:
        at = answer.at or time.time()
        mark = Mark(
            kind="mark",
            what=answer.what,
            at=at,
            by=answer.by,
            detail=answer.reason,
            event=self.number(state),
        )
        if answer.what != "approved":
            return {"log": [mark], "error": _refused(state, answer)}
        plan = self._checked(state, answer)
        update: dict[str, Any] = {"status": "running", "log": [mark]}
        if plan["steps"] != state["plan"]["steps"]:
            mark["steps"] = plan["steps"][first_editable(state) - 1 :]
            proposed = state["plan_proposed"] or Plan(steps=state["plan"]["steps"])
            update["plan_proposed"] = proposed
        return update | {"plan": _approved(plan, state)}

    def _checked(self, state: RunState, answer: _Answer) -> Plan:
        """The plan to be executed. Raises `PlanUnfit`: the tools may have changed meanwhile."""
        limits, tools = limits_of(state), run_tools(state, self.tools)
        if answer.plan is not None:
            given = read_round(answer.plan, state, tools, limits)
            *_, last = rounds_of(state)
            then: Then = given.get("then", "done")
            if (given["steps"], then) == (steps_of(state["plan"], last), last["then"]):
                return state["plan"]  # as it was proposed
            return edited(state, last, given["steps"], then)
        check_left(state, tools, limits)
        return state["plan"]


def check_left(state: RunState, tools: Mapping[str, Tool], limits: Limits) -> None:
    """Raise `PlanUnfit` where the steps that are left must not be executed."""
    cursor = state["cursor"]
    left = state["plan"]["steps"][cursor:]
    if reasons := check_plan(left, tools, limits, first=cursor + 1, done=outputs(state)):
        raise PlanUnfit(reasons)


def _approved(plan: Plan, state: RunState) -> Plan:
    """The plan with the calls that are left noted as approved."""
    rounds = [
        {**entry, "approved": digest(steps_of(plan, entry))}
        if entry["last"] > state["cursor"]
        else entry
        for entry in rounds_of({**state, "plan": plan})
    ]
    return Plan(steps=plan["steps"], rounds=cast("list[Round]", rounds))


def plan_question(
    state: RunState, tools: Mapping[str, Tool], reasons: Sequence[str] = ()
) -> dict[str, Any]:
    """What a person is asked about a plan; `reasons` say why it is asked again."""
    # Of a later round its own steps, which an edited plan would replace.
    first = 1 if asked_about(state) is None else first_editable(state)
    marked = state["log"][-1] if state.get("log") else None
    if marked and marked["kind"] == "mark" and marked["what"] == "changed":
        reasons = (str(marked["detail"]), *reasons)
    return {
        "question": f"Is this plan to be executed? {_HOW}.",
        "plan": {"steps": state["plan"]["steps"][first - 1 :]},
        "tools": tools_of(state["plan"]["steps"][state["cursor"] :], tools),
        "reasons": [*reasons],
    }


def _read(given: object) -> _Answer:
    """The answer that was meant. Raises `_Unclear`."""
    if isinstance(given, bool):
        given = {"what": "approved" if given else "rejected"}
    if not isinstance(given, dict):
        raise _Unclear([_HOW])
    answer = {"what": "approved", **given} if given.get("plan") is not None else given
    try:
        return _Answer.model_validate(answer)
    except ValidationError as invalid:
        faults = invalid.errors(include_url=False, include_context=False)
        raise _Unclear(
            [_HOW, *(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)]
        ) from None


def _refused(state: RunState, answer: _Answer) -> RunError:
    # Of a run that was retried or forked, steps may have been executed before it was asked about.
    undone = "nothing more was done" if attempts(state) else "nothing was done"
    if answer.what == "expired":
        approval = approval_of(state)
        days = (approval["expires_at"] - approval["asked_at"]) / 86_400 if approval else 0
        within = f"{days:g} days" if days >= 1 else f"{days * 86_400:g} s"
        message = f"nobody approved the plan within {within}; {undone}"
        return run_error("cancelled", message)
    why = f": {answer.reason}" if answer.reason else ""
    return run_error("rejected", f"the plan was rejected{why}; {undone}")


# The tools of a plan: what a person wants to know who is asked about it.


def tools_of(steps: Sequence[Step], tools: Mapping[str, Tool]) -> list[PlannedTool]:
    """The tools that a plan uses, in the order of their first use."""
    used: dict[str, PlannedTool] = {}
    for step in steps:
        name, tool = step["tool"], tools.get(step["tool"])
        effects = tool is None or tool.effects
        planned = used.setdefault(name, PlannedTool(tool=name, effects=effects, steps=[]))
        planned["steps"].append(step["step"])
        if tool and tool.server:
            planned["definition"] = definition_of(tool)
        if tool and (scope := tool.scope(step["input"])):
            planned.setdefault("scope", []).append(f"step {step['step']}: {scope}")
    return list(used.values())


def needs_approval(
    steps: Sequence[Step], tools: Mapping[str, Tool], approve: Approve
) -> list[PlannedTool]:
    """The tools of a plan about which `approve` wants a person to be asked; else none."""
    if approve == "never":
        return []
    used = tools_of(steps, tools)
    if approve == "effects" and not any(tool["effects"] for tool in used):
        return []
    return used


# Plans that a retry or a fork continues with: asked about unless somebody has approved just them.
#
# One rule for both: a run that asks for approval executes no plan that nobody has approved. An
# approval holds for the calls of a round as they were approved, in the run and in its forks; an
# edited input or an edited plan makes others of them. Leaving steps out needs no approval.


def required_approval(
    state: RunState, plan: Plan, tools: Mapping[str, Tool], expires: float, *, cursor: int = 0
) -> RequiredApproval | None:
    """What is to be asked before a run in this state continues with `plan`, perhaps an edited one.

    None where nothing is; `expires` is how long it waits for the answer, in seconds. The rounds
    that have steps left after `cursor` are asked about, unless a person has approved their calls.
    """
    changed = changed_since_asked(state, tools)
    after: RunState = {**state, "plan": plan}
    rounds, gone = rounds_of(after), dropped(after)
    if not any("approved" in entry for entry in rounds):  # of an earlier version, or of nobody
        if _is_approved(state) and _calls(plan) == _calls(state["plan"]) and not changed:
            return None
    else:
        rounds = [
            entry for entry in rounds if entry["last"] > cursor and not _holds(entry, plan, changed)
        ]
    remaining = [step for entry in rounds for step in steps_of(plan, entry)]
    remaining = [step for step in remaining if step["step"] not in gone]
    # What was asked about although the run does not ask is asked about until somebody says yes.
    asked = any(entry["why"] == "replan" and entry["approval"] for entry in rounds)
    used = needs_approval(remaining, tools, "always" if asked else state.get("approve", "never"))
    return RequiredApproval(tools=used, expires=expires) if used else None


def approval_needed(state: RunState, at: float) -> dict[str, Any]:
    """The update by which a run waits that begins or continues with a plan nobody has approved.

    Empty for any other. It is asked about at this epoch second.
    """
    begun = _begun(state)
    if not begun:
        return _asked_now(state, at)
    if not (required := begun.get("asks")):
        return {}
    return {"status": "waiting", "approval": asked_at(at, required)}


def _asked_now(state: RunState, at: float) -> dict[str, Any]:
    """Of a run that was given its plan, and has waited in the queue since."""
    if not (approval := approval_of(state)):
        return {}
    expires = approval["expires_at"] - approval["asked_at"]
    approval = asked_at(at, RequiredApproval(tools=approval["tools"], expires=expires))
    plan = state["plan"]
    rounds = [{**entry, "approval": entry["approval"] and approval} for entry in plan["rounds"]]
    return {"status": "waiting", "approval": approval, "plan": {**plan, "rounds": rounds}}


def asked_at(at: float, required: RequiredApproval) -> Approval:
    """What a person is asked from this epoch second on."""
    return Approval(asked_at=at, expires_at=at + required["expires"], tools=required["tools"])


def _holds(entry: Round, plan: Plan, changed: Collection[str]) -> bool:
    """Whether the calls of a round are as they were approved, and their tools too."""
    steps = steps_of(plan, entry)
    same = entry.get("approved") == digest(steps)
    return same and not any(step["tool"] in changed for step in steps)


def _has_acted(state: RunState) -> bool:
    """Whether a step that a person wants others for may have changed something."""
    gone = {step["step"] for step in abandoned(state)}
    return any(
        entry["step"] in gone and entry.get("may_have_acted") is not False
        for entry in attempts(state)
    )


def _is_approved(state: RunState) -> bool:
    """Whether the plan of a state was approved, here or where it was forked."""
    for mark in marks(state)[::-1]:
        if mark["what"] == "approved":
            return True
        if "asks" in mark.get("retry", ()):
            return False
    fork = state.get("forked_from")
    return bool(fork and fork["from_step"] is not None and "asks" not in fork)


def _begun(state: RunState) -> Retry | ForkedFrom | None:
    """What the run continues from: its last retry, or the checkpoint that it was forked from."""
    for mark in marks(state)[::-1]:
        if retry := mark.get("retry"):
            return retry
    return state.get("forked_from")


def _calls(plan: Plan) -> list[tuple[str, dict[str, Any]]]:
    return [(step["tool"], step["input"]) for step in plan["steps"]]
