"""Runs that begin with more than a prompt: at a checkpoint of another run, or with one call.

A fork continues from a checkpoint, perhaps with an edited state. The call of one tool is a run of
one step, which nobody plans.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from graph.record.events import next_event
from graph.record.record import Record
from graph.runs.accept import Acceptance, ChoiceRejected, RunPolicy
from graph.runs.context import RunContext
from graph.runs.history import CheckpointNotFound, checkpoint_of
from graph.runs.recovery import thread
from graph.state import (
    NOTHING_BEFORE,
    THREAD_CONTEXT,
    ForkedFrom,
    Limits,
    Plan,
    PlannedBy,
    RequiredApproval,
    RunState,
    Step,
    followed,
    in_doubt,
    is_said_done,
    new_run,
)
from graph.state.rounds import after_steps, dropped, new_round, rounds_of
from graph.state.row import RunRow
from graph.state.status import SETTLED
from graph.state.wording import shortened, text_of
from nodes.approval.asking import EXPIRES, ApprovalGate, required_approval
from nodes.approval.questions import PlanUnfit, read_plan, tools_of
from nodes.contract.checks import check_plan, escaped, missing, run_tools
from nodes.contract.steps import UNSTORABLE, counted_size, next_cursor
from nodes.plan import prompt_error
from tools.toolbox import Tool


class ForkRejected(Exception):
    """An edited state that must not be executed; `reasons` say what would be right."""

    def __init__(self, field: str, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.field = field
        self.reasons = list(reasons)


#: By which a run is known that was forked to be asked about: it is a state that somebody edited.
EDITED = "edited_state"


@dataclass(frozen=True)
class Edits:
    """What is to be another in the forked state; None is what the checkpoint has.

    With another `prompt` and no `steps` the fork is planned anew; with `anew` it is whatever the
    prompt. `cursor`: how many steps count as done; by default as many as are the same as in the
    checkpoint. With `asks` a person is asked about what is left, approved before or not. One that
    is to be `alone` is refused while a run of its thread has not ended.
    """

    prompt: str | None = None
    steps: Sequence[Mapping[str, Any]] | None = None
    cursor: int | None = None
    anew: bool = False
    asks: bool = False
    alone: bool = False


def seed_of(
    state: RunState,
    edits: Edits,
    tools: Mapping[str, Tool],
    *,
    checkpoint_id: str,
    run_id: str,
    created_at: float,
    expires: float = EXPIRES,
    models: bool = True,
) -> RunState:
    """The state that a fork begins with, which asks first about a plan that nobody has approved.

    `expires` is how long it then waits, in seconds; `models` says whether there are any to look at
    what was done. Raises `ForkRejected`.
    """
    prompt = state["prompt"] if edits.prompt is None else edits.prompt
    if reason := prompt_error(prompt, state["limits"]["max_prompt"]):
        raise ForkRejected("state.prompt", [reason])
    plan = _plan(state, edits, tools)
    cursor = _cursor(state, plan["steps"], edits)
    gone = dropped({**state, "plan": plan})
    skipped = [step for step in state.get("skipped", []) if step <= cursor or step in gone]
    cursor = next_cursor(plan["steps"], skipped, cursor)
    seed = _unplanned(state, prompt, run_id=run_id, created_at=created_at)
    planned = bool(plan["steps"])
    log = _done(state, cursor, plan["steps"])
    if edits.asks and cursor >= len(plan["steps"]):
        raise ForkRejected("state.plan", ["no step of it is left to do"])
    fork = ForkedFrom(
        run_id=state["run_id"],
        checkpoint_id=checkpoint_id,
        from_step=cursor + 1 if planned else None,
        skip=skipped,
        logged=len(log),
        planned=len(state["planning_log"]) if planned else 0,
    )
    if origin := state.get("traceparent"):
        fork["traceparent"] = origin
    if planned:
        fork["rounds"] = len(rounds_of({**state, "plan": plan}))
        seed["plan"] = plan
        seed["plan_proposed"] = _proposed(state, plan)
        seed["planned_by"] = state["planned_by"]
        seed["planning_log"] = state["planning_log"]
        seed["cursor"] = cursor
        seed["skipped"] = skipped
        seed["log"] = log
        values = (entry.get(name) for entry in log for name in ("input", "output"))
        if kept := counted_size(*values):
            seed["kept"] = kept
        if approval := _asked(state, plan, tools, edits, cursor, expires):
            fork["asks"] = approval
    seed["forked_from"] = fork
    if planned and (look := after_steps(seed, cursor, at=created_at)):
        if not models:
            reason = "a model is to look at what was done, and none is configured"
            raise ForkRejected("state.plan", [f"{reason}; give a plan with what is left to do"])
        seed.update(look)  # type: ignore[typeddict-item]  # fields of it
    return seed


def _asked(
    state: RunState,
    plan: Plan,
    tools: Mapping[str, Tool],
    edits: Edits,
    cursor: int,
    expires: float,
) -> RequiredApproval | None:
    """What a person is asked before the steps are executed that are left; None for nothing."""
    left = plan["steps"][cursor:]
    if not left:
        return None
    required = required_approval(state, plan, tools, expires, cursor=cursor)
    if required or not edits.asks:
        return required
    return RequiredApproval(tools=tools_of(left, tools), expires=expires)


def _unplanned(state: RunState, prompt: str, *, run_id: str, created_at: float) -> RunState:
    """A run of this prompt under the conditions of another, which nobody has looked at yet.

    It begins a thread of its own, with what went before the other.
    """
    seed = new_run(
        prompt,
        run_id=run_id,
        owner=state["owner"],
        limits=state["limits"],
        budget=state.get("budget"),
        created_at=created_at,
        approve=state.get("approve", "never"),
        choice=state.get("choice"),
        metadata=state.get("metadata"),
    )
    if conversation := state.get("conversation"):
        seed["conversation"] = conversation
    return seed


def _in_thread(seed: RunState, state: RunState, edits: Edits, thread_id: str) -> RunState:
    """The fork as a run of a thread that continues from the checkpoint, not from its last run.

    Another task after the end of a run has that run before it, too.
    """
    before = seed.get("conversation", NOTHING_BEFORE)
    if edits.prompt is not None and state["status"] in SETTLED:
        before = followed({**state, "asked": state["prompt"]}, characters=THREAD_CONTEXT) or before
    seed = {**seed, "thread_id": thread_id, "conversation": before}
    if edits.asks:
        seed["metadata"] = {**seed.get("metadata", {}), EDITED: "1"}
    return seed


def _plan(state: RunState, edits: Edits, tools: Mapping[str, Tool]) -> Plan:
    if edits.steps is None:
        same = edits.prompt is None or edits.prompt == state["prompt"]
        return _made(state) if same and not edits.anew else Plan(steps=[])
    try:
        usable = run_tools(state, tools)
        edited = read_plan({"steps": list(edits.steps)}, usable, state["limits"])
    except PlanUnfit as unfit:
        raise ForkRejected("state.plan", unfit.reasons) from None
    calls = len(state["planning_log"])
    one = new_round(state, edited["steps"], first=1, calls=[0, calls])
    return Plan(steps=edited["steps"], rounds=[one])


def _made(state: RunState) -> Plan:
    """The plan without the round that was planned just then: that is begun anew."""
    if not state["plan"]["steps"]:
        return Plan(steps=[])
    rounds = [entry for entry in rounds_of(state) if entry["then"] is not None]
    return Plan(steps=state["plan"]["steps"], rounds=rounds)


def _cursor(state: RunState, steps: Sequence[Step], edits: Edits) -> int:
    """How many steps are done: at most those that the checkpoint has done in the same way."""
    same = 0
    for step, former in zip(steps, state["plan"]["steps"][: state["cursor"]], strict=False):
        if (step["tool"], step["input"]) != (former["tool"], former["input"]):
            break
        same += 1
    if edits.cursor is None:
        return same
    if not 0 <= edits.cursor <= same:
        reason = f"{same} steps are done in the same way; cursor may be 0 to {same}"
        raise ForkRejected("state.cursor", [reason])
    return edits.cursor


def _done(state: RunState, cursor: int, steps: Sequence[Step]) -> list[Any]:
    """What is logged of steps that count as done, to which later ones refer, or are in doubt.

    The caller who forks a run is asked about these as they come up.
    """
    former = {step["step"]: (step["tool"], step["input"]) for step in state["plan"]["steps"]}
    same = {
        step["step"] for step in steps if former.get(step["step"]) == (step["tool"], step["input"])
    }
    log: list[Any] = state.get("log", [])
    doubts = [in_doubt(state, number) for number in sorted(same) if number > cursor]
    return [
        *(entry for entry in log if entry.get("step", cursor + 1) <= cursor and _is_done(entry)),
        *({**attempt, "expires_at": None} for attempt in doubts if attempt),
    ]


def _is_done(entry: Any) -> bool:
    return entry["kind"] == "attempt" or is_said_done(entry)


def _proposed(state: RunState, plan: Plan) -> Plan | None:
    if plan == state["plan"]:
        return state["plan_proposed"]
    return state["plan_proposed"] or state["plan"]


class Forker:
    """Makes a new run of a checkpoint of another one; it is on disk before it is executed."""

    def __init__(
        self, context: RunContext, acceptance: Acceptance, *, approval_expires: float, models: bool
    ) -> None:
        self._context = context
        self._models = models
        self._reader = context.reader
        self._check_ready, self._acceptance = context.check_ready, acceptance
        self._approval_expires = approval_expires

    async def fork(
        self,
        run_id: str,
        checkpoint_id: str,
        edits: Edits,
        *,
        owner: str | None,
        thread_id: str | None = None,
        by: str | None = None,
    ) -> Record:
        """As `Runs.fork`."""
        self._check_ready()
        await self._reader.admit(run_id, owner)
        with self._context.storage.available():
            checkpoint = await checkpoint_of(self._reader.graph, thread(run_id), checkpoint_id)
        state = checkpoint["state"]
        if state is None:
            raise CheckpointNotFound(run_id, checkpoint_id)
        seed = seed_of(
            state,
            edits,
            self._context.tools,
            checkpoint_id=checkpoint_id,
            run_id=str(uuid4()),
            created_at=time.time(),
            expires=self._approval_expires,
            models=self._models,
        )
        if thread_id is not None:
            seed = _in_thread(seed, state, edits, thread_id)
        row = RunRow(
            run_id=seed["run_id"],
            owner=seed["owner"],
            prompt=seed["prompt"],
            limits=seed["limits"],
            created_at=seed["created_at"],
            budget=seed["budget"],
            approve=seed.get("approve", "never"),
            choice=seed.get("choice"),
            metadata=seed.get("metadata"),
            forked_from=run_id,
            seed=seed,
            thread_id=thread_id,
            posted_by=by,
            alone=edits.alone,
        )
        return await self._acceptance.accept(row)


# The call of one tool.


#: Who has planned it: the caller of the tool.
BY_CALLER = PlannedBy(source="caller", model=None, reason="the tool was called", complexity=None)


class ToolNotFound(Exception):
    """There is no tool of this name; the message says which there are."""


class ToolCaller:
    """Makes runs of calls of tools: recorded, attempted again and asked about like any other."""

    def __init__(self, context: RunContext, acceptance: Acceptance, policy: RunPolicy) -> None:
        self._check_ready, self._acceptance = context.check_ready, acceptance
        self._limits = policy.limits
        self._gate = ApprovalGate(
            context.tools, next_event, policy.approve, policy.approval_expires
        )

    async def call(
        self, tool: str, given: Mapping[str, Any], *, owner: str, by: str | None
    ) -> Record:
        """As `Runs.call`."""
        self._check_ready()
        seed = call_of(tool, given, self._limits, self._gate, owner=owner, at=time.time())
        row = RunRow(
            run_id=seed["run_id"],
            owner=owner,
            prompt=seed["prompt"],
            limits=seed["limits"],
            created_at=seed["created_at"],
            approve=self._gate.default,
            seed=seed,
            posted_by=by,
        )
        return await self._acceptance.accept(row)


def call_of(
    tool: str,
    given: Mapping[str, Any],
    limits: Limits,
    gate: ApprovalGate,
    *,
    owner: str,
    at: float,
) -> RunState:
    """The state that the run begins with: its plan is the call, checked as every plan is.

    It says what a person is to be asked about it, if anything. Raises `ToolNotFound` and
    `ChoiceRejected`.
    """
    seed = new_run(
        _prompt_of_call(tool, given, limits["max_prompt"]),
        run_id=str(uuid4()),
        owner=owner,
        limits=limits,
        created_at=at,
        approve=gate.default,
    )
    # The caller of a tool knows of no steps to refer to: braces are text.
    step = Step(step=1, tool=tool, input=escaped(dict(given)), reasoning="", span=None)
    if tool not in (usable := run_tools(seed, gate.tools)):
        raise ToolNotFound(missing(tool[:100], usable))
    if reasons := check_plan([step], usable, limits):
        raise ChoiceRejected("input", [reason.removeprefix("step 1: ") for reason in reasons])
    seed["planned_by"] = BY_CALLER
    plan = Plan(steps=[step], rounds=[new_round(seed, [step], first=1, calls=[0, 0])])
    asked = gate.about(seed, {"plan": plan})
    seed["plan"] = asked["plan"]
    if "approval" in asked:
        seed["approval"] = asked["approval"]
    return seed


def _prompt_of_call(tool: str, given: Mapping[str, Any], longest: int) -> str:
    """What the run is found by: the call as text, of `longest` characters at most."""
    return UNSTORABLE.sub("\ufffd", shortened(f"{tool} {text_of(given)}", longest))
