"""Calling one tool by itself: a run of one step, which nobody plans."""

import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from graph.record.events import next_event
from graph.record.record import Record
from graph.runs.accept import Acceptance, ChoiceRejected, RunPolicy
from graph.runs.context import RunContext
from graph.state import Limits, Plan, PlannedBy, RunState, Step, new_run
from graph.state.rounds import new_round
from graph.state.row import RunRow
from graph.state.wording import shortened, text_of
from nodes.approval.asking import ApprovalGate
from nodes.contract.json_data import UNSTORABLE, escaped
from nodes.contract.steps import check_plan, missing, run_tools

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
        seed = seed_of(tool, given, self._limits, self._gate, owner=owner, at=time.time())
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


def seed_of(
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
        _prompt(tool, given, limits["max_prompt"]),
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


def _prompt(tool: str, given: Mapping[str, Any], longest: int) -> str:
    """What the run is found by: the call as text, of `longest` characters at most."""
    return UNSTORABLE.sub("\ufffd", shortened(f"{tool} {text_of(given)}", longest))
