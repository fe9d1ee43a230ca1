"""When a run waits for a person, and what follows from the answer.

A person is asked about a plan before it is executed, and about a step of which nobody knows whether
it acted. What is asked, and which answers there are, is in questions.py.
"""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from langgraph.types import interrupt

from graph.state import (
    Approval,
    Approve,
    ForkedFrom,
    Mark,
    Plan,
    Question,
    RequiredApproval,
    Retry,
    Round,
    RunState,
    Step,
    Then,
    attempts,
    in_doubt,
    limits_of,
    marks,
    run_error,
)
from graph.state.rounds import (
    abandoned,
    after_steps,
    approval_of,
    digest,
    dropped,
    edited,
    rounds_of,
    steps_of,
)
from nodes.approval.questions import (
    AnswerUnfit,
    PlanReply,
    PlanUnfit,
    Unclear,
    check_left,
    checked_answer,
    doubt_question,
    failure_text,
    first_editable,
    in_words,
    needs_approval,
    plan_question,
    read_doubt_reply,
    read_plan_reply,
    read_round,
    refusal_of,
    tools_of,
    with_changes,
)
from nodes.contract.checks import run_tools, stamped
from nodes.contract.steps import next_cursor
from tools.toolbox import InDoubt, Outcome, Tool, changes, definition_of

#: How long a person may think about a plan, in seconds.
EXPIRES = 7 * 86_400.0


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
                return self._update(state, read_plan_reply(given))
            except (PlanUnfit, Unclear) as error:
                reasons = error.reasons

    def _update(self, state: RunState, answer: PlanReply) -> dict[str, Any]:
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
            return {"log": [mark], "error": refusal_of(state, answer)}
        plan = self._checked(state, answer)
        update: dict[str, Any] = {"status": "running", "log": [mark]}
        if plan["steps"] != state["plan"]["steps"]:
            mark["steps"] = plan["steps"][first_editable(state) - 1 :]
            proposed = state["plan_proposed"] or Plan(steps=state["plan"]["steps"])
            update["plan_proposed"] = proposed
        return update | {"plan": _approved(plan, state)}

    def _checked(self, state: RunState, answer: PlanReply) -> Plan:
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


def _approved(plan: Plan, state: RunState) -> Plan:
    """The plan with the calls that are left noted as approved."""
    rounds = [
        {**entry, "approved": digest(steps_of(plan, entry))}
        if entry["last"] > state["cursor"]
        else entry
        for entry in rounds_of({**state, "plan": plan})
    ]
    return Plan(steps=plan["steps"], rounds=cast("list[Round]", rounds))


# Steps that may have acted.


@dataclass(frozen=True)
class DoubtGate:
    """Makes runs wait for a person about a step that may have acted.

    `policy` holds for tools that have none of their own, `expires` is how many seconds a run waits.
    `number` gives the number of a run's next event.
    """

    policy: InDoubt = "ask"
    expires: float = EXPIRES
    number: Callable[[RunState], int] | None = None

    def guards(self, tool: Tool | None) -> bool:
        """Whether a call of this tool that may have acted is not simply made again."""
        return tool is not None and tool.acts_once and (tool.in_doubt or self.policy) != "retry"

    def expiry(self, tool: Tool, now: float) -> float | None:
        """Until when a person is asked, in epoch seconds; None where the step fails at once."""
        return None if (tool.in_doubt or self.policy) == "fail" else now + self.expires

    def ask_again(self, state: RunState, step: int, tool: Tool) -> dict[str, Any] | None:
        """The update by which a run waits that comes to a step in doubt once more; else None.

        It was retried, or somebody steers it by hand. A person is there, so that it is asked
        whatever the policy.
        """
        attempt = in_doubt(state, step) if self.guards(tool) else None
        if attempt is None:
            return None
        assert attempt["error"] is not None
        now = time.time()
        mark = self._mark(state, "in_doubt", now, "server", attempt["error"]["message"])
        mark |= {"step": step, "expires_at": now + self.expires}
        return {"status": "waiting", "log": [mark]}

    def answer(self, state: RunState, question: Question) -> dict[str, Any]:
        """Rest until somebody decides, and the update that follows from the decision.

        An answer that decides nothing, or cannot be carried out, is asked for again.
        """
        reasons: list[str] = []
        while True:
            given = interrupt(doubt_question(question, reasons))
            try:
                return self.carried_out(state, question, given)
            except AnswerUnfit as error:
                reasons = error.reasons

    def carried_out(self, state: RunState, question: Question, given: object) -> dict[str, Any]:
        """The update that follows from an answer. Raises `AnswerUnfit`."""
        answer, attempt = read_doubt_reply(given), question["attempt"]
        output = checked_answer(state, attempt, answer.decided, answer.output)
        at = answer.at or time.time()
        detail = f"step {attempt['step']} ({attempt['tool']}) as {answer.decided}"
        mark = self._mark(state, answer.what, at, answer.by, detail)
        mark |= {"step": attempt["step"], "as": answer.decided}
        if answer.learned is not None:
            mark["learned"] = answer.learned  # type: ignore[typeddict-item]  # as it was stored
        update: dict[str, Any] = {"status": "running", "log": [mark]}
        steps, skipped = state["plan"]["steps"], state.get("skipped", [])
        match answer.decided:
            case "done":
                mark["output"] = output
            case "skip":
                skipped = sorted({*skipped, attempt["step"]})
                update["skipped"] = skipped
            case "fail":
                message = failure_text(question, answer)
                return update | {"error": run_error("step_failed", message, step=attempt["step"])}
            case "redo":
                return update
        cursor = next_cursor(steps, skipped, state["cursor"] + 1)
        return update | {"cursor": cursor, "attempt": 0} | after_steps(state, cursor, at=at)

    def _mark(self, state: RunState, what: Any, at: float, by: str, detail: str | None) -> Mark:
        mark = Mark(kind="mark", what=what, at=at, by=by, detail=detail)
        if self.number is not None:
            mark["event"] = self.number(state)
        return mark


def doubted(outcome: Outcome) -> Outcome:
    """The outcome of a call that does not tell whether it acted, in words that say so."""
    assert outcome.failure is not None
    message = f"{outcome.failure.message}; it may have acted"
    return replace(outcome, failure=replace(outcome.failure, message=message, retryable=False))


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


def changed_since_asked(state: RunState, tools: Mapping[str, Tool]) -> dict[str, list[str]]:
    """The servers' tools that are no longer what a person was shown who was asked about them.

    By their names, each with what has changed.
    """
    asked = [*(entry["approval"] for entry in rounds_of(state)), approval_of(state)]
    shown = {
        planned["tool"]: planned["definition"]
        for approval in asked  # the latest last
        if approval
        for planned in approval["tools"]
        if "definition" in planned
    }
    found = {
        name: changes(definition, definition_of(tool))
        for name, definition in shown.items()
        if (tool := tools.get(name))
    }
    return {name: changed for name, changed in found.items() if changed}


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
