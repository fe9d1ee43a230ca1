"""From a request to a run: begun anew, gone on with, answered, or forked from a checkpoint."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.errors.kinds import NothingAsked, unprocessable
from api.lg.history import SettledMessages, ThreadHistory, opened
from api.lg.requests import (
    NO_RECURSION_LIMIT,
    Choices,
    RunBody,
    as_text,
    check_assistant,
    check_modes,
    is_alone,
    kept,
    own_metadata,
)
from api.lg.stream_parts import END, Position
from api.lg.views import question, task_of
from graph.commands.retry import RetryRequest
from graph.commands.seeded import EDITED, Edits
from graph.record.record import Record
from graph.runs.accept import RunOptions
from graph.runs.threads import ThreadBusy, ThreadNotFound
from graph.service import Runs
from graph.state import ResolvedAs, RunState, marks, question_of
from graph.state.status import SETTLED
from nodes.approval.questions import AnswerUnfit, PlanUnfit


@dataclass(frozen=True)
class Begun:
    """A run that was told to go: `after` is what happened to it before that; None of a new one."""

    record: Record
    after: Position | None = None

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self.record["run_id"]

    @property
    def thread_id(self) -> str:
        """The thread that it belongs to."""
        return self.record["thread_id"]


@dataclass
class Beginner:
    """Begins runs for callers, or lets them go on."""

    settled: SettledMessages

    async def begin(
        self, runs: Runs, body: RunBody, thread_id: str | None, *, owner: str, by: str
    ) -> Begun:
        """Let a run begin or go on as a request says.

        Raises `Unprocessable`, `AssistantNotFound`, `ThreadNotFound`, `ThreadBusy`,
        `NothingAsked`, and what `Runs.start`, `Runs.fork`, `Runs.retry` and decisions raise.
        """
        check_assistant(body.assistant_id)
        _check(body)
        choices = _choices(body, thread_id)
        prompt = task_of(body.input)
        place = _checkpoint(body, choices, thread_id)
        if thread_id is None:
            if body.command is not None and body.command.resume is not None:
                raise unprocessable("command.resume", "names no thread, so that nothing is asked")
            if place is not None:
                raise unprocessable("checkpoint", "goes with a thread")
            return await _start(runs, body, choices, prompt, None, by=by, owner=owner)
        given = body, choices, prompt, place
        return await self._on_thread(runs, *given, thread_id, owner=owner, by=by)

    async def _on_thread(
        self,
        runs: Runs,
        body: RunBody,
        choices: Choices,
        prompt: str | None,
        place: str | None,
        thread_id: str,
        *,
        owner: str,
        by: str,
    ) -> Begun:
        try:
            thread = await opened(runs, thread_id, self.settled, owner=owner)
        except ThreadNotFound:
            if body.if_not_exists != "create":
                raise
            await runs.threads.open(thread_id, {}, owner=owner)
            # It is another's where it is not found now, either.
            thread = await opened(runs, thread_id, self.settled, owner=owner)
        if body.command is not None and body.command.resume is not None:
            if prompt is not None:
                raise unprocessable("input", "goes without a command that resumes")
            _check_given_nothing(body, choices)
            if place is not None and not await thread.rests_at(place):
                raise NothingAsked("the thread asks nothing at this checkpoint")
            return await _answered(runs, thread, body.command.resume, by=by, owner=owner)
        head = thread.head
        if is_alone(body) and head and head[1] not in SETTLED:
            raise ThreadBusy(*head)
        stands_at = thread.rests_at if prompt is None else thread.ended_at
        if place is not None and not await stands_at(place):
            return await _forked(runs, body, choices, thread, place, prompt, by=by, owner=owner)
        if prompt is None:
            return await _continued(runs, body, choices, thread, by=by, owner=owner)
        return await _start(runs, body, choices, prompt, thread_id, by=by, owner=owner)


def _check(body: RunBody) -> None:
    """Raises `Unprocessable` for what no run here can be given."""
    check_modes(body.stream_mode)
    if body.multitask_strategy not in ("enqueue", "reject"):
        words = "is enqueue or reject: what a run has done stays done"
        raise unprocessable("multitask_strategy", words)
    if body.on_completion == "delete":
        raise unprocessable("on_completion", "runs are kept; DELETE removes one")
    if body.durability == "exit" or body.checkpoint_during is False:
        raise unprocessable("durability", "is sync: every step is stored before the next begins")
    limit = body.config.recursion_limit
    if limit is not None and limit < NO_RECURSION_LIMIT:
        words = f"the server's limits hold; it may be {NO_RECURSION_LIMIT} or more, which is none"
        raise unprocessable("config.recursion_limit", words)


def _choices(body: RunBody, thread_id: str | None) -> Choices:
    configured, context = body.config.configurable, body.context or Choices()
    for name in Choices.model_fields:
        said = getattr(configured, name), getattr(context, name)
        if None not in said and said[0] != said[1]:
            raise unprocessable(f"context.{name}", f"is another in config.configurable.{name}")
        if said[0] is None and said[1] is not None:
            configured = configured.model_copy(update={name: said[1]})
    if configured.thread_id is not None and configured.thread_id != thread_id:
        raise unprocessable("config.configurable.thread_id", "is not the thread of this call")
    return configured


def _checkpoint(body: RunBody, choices: Choices, thread_id: str | None) -> str | None:
    named = body.checkpoint
    if named and named.thread_id and named.thread_id != thread_id:
        raise unprocessable("checkpoint.thread_id", "is not the thread of this call")
    said = (body.checkpoint_id, named.checkpoint_id if named else None, choices.checkpoint_id)
    given = {one for one in said if one is not None}
    if len(given) > 1:
        raise unprocessable("checkpoint_id", "is another than that of the checkpoint")
    return next(iter(given), None)


def _options(body: RunBody, choices: Choices) -> RunOptions:
    return RunOptions(
        model=choices.model,
        instructions=choices.instructions,
        tools=choices.tools,
        answer=choices.answer,
        webhook=body.webhook,
        metadata=as_text(own_metadata(body.config.metadata)) | kept(body.metadata),
    )


def _check_given_nothing(body: RunBody, choices: Choices) -> None:
    """Raises `Unprocessable` where a run that continues is given what only a new one can be."""
    given, nothing = _options(body, choices), RunOptions()
    for field in fields(RunOptions):
        if getattr(given, field.name) != getattr(nothing, field.name):
            words = "a run that goes on keeps what it was given when it began"
            raise unprocessable(field.name, words)
    if choices.approve:
        raise unprocessable("approve", "a run that goes on asks as it did when it began")


def is_edited(state: RunState) -> bool:
    """Whether a run waits to go on from a state that somebody edited, and asks nothing else."""
    return (
        EDITED in state.get("metadata", {})
        and question_of(state) is None
        and not marks(state, "approved")
    )


async def _start(
    runs: Runs,
    body: RunBody,
    choices: Choices,
    prompt: str | None,
    thread_id: str | None,
    *,
    by: str,
    owner: str,
) -> Begun:
    if prompt is None:
        raise unprocessable("input", 'is {"prompt": …} or {"messages": […]}')
    record = await runs.start(
        prompt,
        owner=owner,
        approve="always" if choices.approve else None,
        options=_options(body, choices),
        thread_id=thread_id,
        alone=is_alone(body),
        by=by,
    )
    return Begun(record)


async def _answered(runs: Runs, thread: ThreadHistory, given: Any, *, by: str, owner: str) -> Begun:
    if thread.head is None:
        raise NothingAsked("the thread has no run, and asks nothing")
    state = await thread.state(thread.head[0])
    if state["status"] != "waiting":
        raise NothingAsked(f"run {state['run_id']} of the thread is {state['status']}")
    before = await runs.get(state["run_id"], owner=owner)
    record = await answer(runs, state, given, by=by, owner=owner)
    return Begun(record, Position(before["last_event_id"], END))


async def _forked(
    runs: Runs,
    body: RunBody,
    choices: Choices,
    thread: ThreadHistory,
    checkpoint_id: str,
    prompt: str | None,
    *,
    by: str,
    owner: str,
) -> Begun:
    _check_given_nothing(body, choices)
    origin = await thread.find(checkpoint_id)
    edits = Edits(prompt=prompt, anew=prompt is not None, alone=is_alone(body))
    record = await runs.fork(
        origin, checkpoint_id, edits, owner=owner, thread_id=thread.thread_id, by=by
    )
    return Begun(record)


async def _continued(
    runs: Runs, body: RunBody, choices: Choices, thread: ThreadHistory, *, by: str, owner: str
) -> Begun:
    """Let the thread go on where it stands: with its last run, if that failed or was cancelled."""
    _check_given_nothing(body, choices)
    if thread.head is None:
        raise unprocessable("input", "the thread has nothing to go on with: give an input")
    run_id, status = thread.head
    if status == "waiting":
        state = await thread.state(run_id)
        if not is_edited(state):
            raise NothingAsked(f"run {run_id} of the thread waits for an answer, as command.resume")
        return await _answered(runs, thread, True, by=by, owner=owner)
    if status not in ("failed", "cancelled"):
        raise unprocessable("input", f"run {run_id} of the thread is {status}: give an input")
    before = await runs.get(run_id, owner=owner)
    request = RetryRequest(alone=is_alone(body))
    record = await runs.retry(run_id, request, by=by, owner=owner)
    return Begun(record, Position(before["last_event_id"], END))


# Answers to what a run asks, as decisions about it.


#: An id of an interrupt, as LangGraph's are.
_ID_LENGTH = 32


class _Action(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    args: dict[str, Any]


class _Reviewed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["approve", "edit", "reject"] = Field(alias="type")
    message: str | None = None
    edited_action: _Action | None = None


class _Review(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    decisions: list[_Reviewed]


def _decided(given: dict[str, Any], steps: Sequence[Mapping[str, Any]]) -> Any:
    """What decisions about each step come to for the plan. Raises `Unprocessable`."""
    decisions = _read(_Review, given).decisions
    if len(decisions) != len(steps):
        raise unprocessable("command.resume.decisions", f"are as many as steps: {len(steps)}")
    for number, one in enumerate(decisions):
        where = f"command.resume.decisions.{number}"
        if (one.kind == "edit") != (one.edited_action is not None):
            raise unprocessable(f"{where}.edited_action", "goes with edit, and edit with it")
        if one.message is not None and one.kind != "reject":
            raise unprocessable(f"{where}.message", "goes with reject only")
    if refused := [one for one in decisions if one.kind == "reject"]:
        said = "; ".join(one.message for one in refused if one.message)
        return {"what": "rejected", "reason": said or None}
    if not any(one.edited_action for one in decisions):
        return True
    edited = [
        {"tool": one.edited_action.name, "input": one.edited_action.args}
        if one.edited_action
        else {"tool": step["tool"], "input": step["input"], "reasoning": step["reasoning"]}
        for one, step in zip(decisions, steps, strict=True)
    ]
    return {"plan": {"steps": edited}}


class _PlanAnswer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    what: Literal["approved", "rejected"] = "approved"
    plan: Any = None
    reason: str | None = Field(None, max_length=2_000)


class _DoubtAnswer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    decided: ResolvedAs = Field(alias="as")
    output: Any = None


async def answer(runs: Runs, state: RunState, given: Any, *, by: str, owner: str) -> Record:
    """Let a waiting run go on as a person says; its record by then.

    Raises `NothingAsked`, `Unprocessable` for an answer that decides nothing, or cannot be carried
    out, and what `Runs.approve`, `Runs.reject` and `Runs.resolve` raise.
    """
    asked = question(state, runs.tools)
    if asked is None:
        raise NothingAsked("the thread waits for no answer")
    given = _addressed(given, asked["id"])
    run_id = state["run_id"]
    try:
        if question_of(state):
            doubt = _read(_DoubtAnswer, {"as": given} if isinstance(given, str) else given)
            return await runs.resolve(run_id, doubt.decided, doubt.output, by=by, owner=owner)
        if isinstance(given, dict) and "decisions" in given:
            given = _decided(given, asked["value"]["plan"]["steps"])
        if isinstance(given, bool):
            given = {"what": "approved" if given else "rejected"}
        plan = _read(_PlanAnswer, given)
        if plan.what == "rejected":
            if plan.plan is not None:
                raise unprocessable("command.resume.plan", "a plan that is rejected has no other")
            return await runs.reject(run_id, by=by, owner=owner, reason=plan.reason)
        if plan.reason is not None:
            raise unprocessable("command.resume.reason", "goes with rejected only")
        return await runs.approve(run_id, by=by, owner=owner, plan=plan.plan)
    except PlanUnfit as unfit:
        raise unprocessable("command.resume.plan", "; ".join(unfit.reasons)) from None
    except AnswerUnfit as unfit:
        where = f"command.resume.{unfit.field}"
        raise unprocessable(where, "; ".join(unfit.reasons)) from None


def _addressed(given: Any, asked: str) -> Any:
    """The answer to this question, where answers come by the ids of their questions."""
    if not isinstance(given, dict) or not given or not all(map(_is_id, given)):
        return given
    if [*given] != [asked]:
        raise NothingAsked(f"the thread asks {asked}, and nothing else")
    return given[asked]


def _is_id(name: str) -> bool:
    return len(name) == _ID_LENGTH and all(digit in "0123456789abcdef" for digit in name)


def _read(kind: type[Any], given: Any) -> Any:
    if not isinstance(given, dict):
        raise unprocessable("command.resume", "decides nothing; see the question's response_schema")
    try:
        return kind.model_validate(given)
    except ValidationError as invalid:
        fault = invalid.errors(include_url=False, include_context=False)[0]
        where = ".".join(["command", "resume", *map(str, fault["loc"])])
        raise unprocessable(where, f"{fault['msg']}; see the question's response_schema") from None
