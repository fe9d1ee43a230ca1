"""Asking a model for an answer in words at the end of a run: one model, once."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from graph.state import (
    Answer,
    PlannedBy,
    Planning,
    PlanningCall,
    Result,
    RunState,
    Structured,
    schema_of,
)
from graph.state.rounds import rounds_of
from nodes.answers.prompt import SpokenText, answer_messages, given, value_messages
from nodes.contract.checks import fitting
from nodes.contract.steps import WithoutSlot, no_slots
from nodes.planning.answer import WHOLE
from nodes.planning.model import (
    BudgetExceeded,
    Completion,
    Message,
    ModelFailure,
    ModelLadder,
    Tell,
    digest,
)
from nodes.planning.model_attempt import (
    ModelAttempt,
    NotAffordable,
    add,
    charged,
    first_of,
    seconds_left,
)
from nodes.planning.outcomes import Update
from nodes.planning.prompt import repair

logger = logging.getLogger("runwright.models")

#: How a call ends, beside what providers say, that has brought words when its time was over.
TIMED_OUT = "timeout"

_CANCELLED = "the run was cancelled while its answer was given"

#: Is told the next words of an answer, and at which character of it they stand.
Say = Callable[[str, int], Awaitable[None]]


class Audience(Protocol):
    """Who hears an answer while it is given."""

    def waits(self, state: RunState) -> bool:
        """Whether an answer is still wanted: not of a run that is being cancelled."""

    def speaking(self, state: RunState) -> AbstractAsyncContextManager[Say]:
        """For as long as one answer takes: what tells the words of it."""


class Nobody:
    """Hears nothing, and waits for the answer."""

    def waits(self, _state: RunState) -> bool:
        """It does."""
        return True

    @asynccontextmanager
    async def speaking(self, _state: RunState) -> AsyncIterator[Say]:
        """What tells nobody."""

        async def say(_text: str, _offset: int) -> None:
            pass

        yield say


@dataclass
class _Course:
    """What has come of the answer of a run so far; `state` is the run's with all of that in it."""

    state: RunState
    text: str = ""
    model: str | None = None
    source: Literal["look", "finalize", "no_tools"] = "finalize"
    values: list[str] = field(default_factory=list)
    why: str = "no model was asked"
    asked: tuple[list[Message], int] | None = None

    @property
    def log(self) -> list[PlanningCall]:
        return self.state["planning_log"]

    def messages(self, ladder: ModelLadder) -> tuple[list[Message], int]:
        """The messages that ask for the answer, and how many outputs are left out; built once.

        They show nothing that a call changes in the state: usage, planning log, time paused.
        """
        if self.asked is None:
            self.asked = answer_messages(self.state, output=ladder.output, context=ladder.context)
        return self.asked

    def took(self, attempt: ModelAttempt, completion: Completion | None, paused: float) -> None:
        """Take over what a call has cost."""
        usage, lost = self.state["usage"], self.state.get("paused", 0.0) + paused
        if completion is not None:
            usage = add(usage, attempt.name, completion)
        self.state = {
            **self.state,
            "planning_log": attempt.log,
            "usage": usage,
            "paused": lost,
        }


@dataclass(frozen=True)
class AnswerWriter:
    """Writes the answers of runs; without a `ladder` only those that came with planning.

    The run that waits for one does so `without_slot`; the `audience` hears the words as they come.
    """

    ladder: ModelLadder | None = None
    without_slot: WithoutSlot = no_slots
    audience: Audience = field(default_factory=Nobody)

    async def write(self, state: RunState) -> Update:
        """What the answer adds to a run that is settled in this state, and of which one is wanted.

        The run keeps its status, whatever becomes of the answer.
        """
        result = state["result"]
        assert result is not None, "there is nothing to be said of a run without a result"
        schema = schema_of(state)
        course = _Course(state)
        if not self.audience.waits(state):
            self._leave(course)
            shaped = None if schema is None else _no_answer(course)
            return _written(course, result, shaped)
        async with self.audience.speaking(state) as say:
            if text := given(state):
                await say(text, 0)
                by = rounds_of(state)[-1]["planned_by"]
                course.text, course.model = text, by["model"] if by else None
                course.source = "look" if state["plan"]["steps"] else "no_tools"
            elif self.ladder is not None:
                await self._speak(self.ladder, course, say)
        shaped = None if schema is None else await self._shaped(course, schema)
        return _written(course, result, shaped)

    def _leave(self, course: _Course) -> None:
        """Note that the run was cancelled while its answer was given, or before."""
        course.why = _CANCELLED
        state = course.state
        if self.ladder is None or (name := _model(self.ladder.at(state), state)) is None:
            return
        log = list(state["planning_log"])
        planning = _planning(state, name)
        attempt = ModelAttempt(state, planning, self.ladder, log, purpose="answer")
        _skipped(attempt, "cancelled", _CANCELLED)
        course.took(attempt, None, 0.0)

    async def _speak(self, ladder: ModelLadder, course: _Course, say: Say) -> None:
        """Ask for the words, which are told as they come."""
        spoken = SpokenText(shaped=schema_of(course.state) is not None)
        heard = 0

        async def tell(part: str) -> None:
            nonlocal heard
            text, offset = spoken.add(part)
            if text or offset < heard:
                heard = offset + len(text)
                await say(text, offset)

        asked, left_out = course.messages(ladder)
        completion = await self._call(ladder, course, asked, tell, left_out)
        if completion is None:
            return
        text, offset = spoken.end()
        if text:
            await say(text, offset)
        course.text, course.values = spoken.text, spoken.values
        last = course.log[-1]
        course.model = last["model"]
        timed_out = last["error_class"] == TIMED_OUT
        if spoken.in_value and completion.finish_reason not in WHOLE:
            course.values = course.values[:-1]  # a number may have lost its last digits
        if completion.refused:
            last["outcome"], course.why = "refused", "the model refused to answer"
            course.text, course.values = "", []
        elif not course.text and timed_out:
            last["outcome"], course.why = "failed", f"{course.model}: {TIMED_OUT}"
        elif not course.text:
            last["outcome"], course.why = "empty", "the model's answer has no words"
            last["reasons"] = [course.why]
        elif completion.finish_reason not in WHOLE:
            last["reasons"] = [f"it is not whole: it ended with {completion.finish_reason}"]
            course.text += "…"

    async def _shaped(self, course: _Course, schema: dict[str, Any]) -> Structured:
        """The answer as the schema has it: checked, asked for once more, or none."""
        most = course.state["limits"]["max_output"]
        if course.model is None or not (course.text or course.values):
            return _no_answer(course)
        reasons = ["there is no value"]
        if course.values:
            value, reasons = _read(course.values, schema, most)
            if not reasons:
                return Structured(value=value, reason=None)
            course.log[-1]["reasons"] = [*course.log[-1]["reasons"], *reasons]
            if not course.text:
                return Structured(value=None, reason="; ".join(reasons))
        texts, failure = await self._value(course, schema, reasons)
        if texts is None:
            return Structured(value=None, reason=f"{'; '.join(reasons)}; {failure}")
        value, reasons = _read(texts, schema, most)
        if reasons:
            course.log[-1]["outcome"], course.log[-1]["reasons"] = "rejected", reasons
        return Structured(value=value, reason="; ".join(reasons) or None)

    async def _value(
        self, course: _Course, schema: dict[str, Any], reasons: list[str]
    ) -> tuple[list[str] | None, str]:
        """Ask for the value alone; its texts, one as it should be, or why there are none."""
        if self.ladder is None:
            return None, "no model is configured that could give it"
        asked, left_out = course.messages(self.ladder)
        asked = value_messages(asked, course.text, schema)
        if course.values:
            asked = repair(asked, "\n".join(course.values), reasons)
        completion = await self._call(self.ladder, course, asked, None, left_out)
        if completion is None or completion.refused:
            return None, f"it was not given when it was asked for: {course.why}"
        spoken = SpokenText(shaped=True)
        spoken.add(completion.text)
        spoken.end()
        return spoken.values or [spoken.text], ""

    async def _call(
        self,
        ladder: ModelLadder,
        course: _Course,
        asked: list[Message],
        tell: Tell | None,
        left_out: int,
    ) -> Completion | None:
        """Make one call, and note it; None where it brought nothing."""
        state = course.state
        ladder = ladder.at(state)
        name = course.model or _model(ladder, state)
        if name is None:
            return None
        log = list(state["planning_log"])
        async with (
            self.without_slot() as paused,
            ladder.slots.slot(name, state["owner"], later=True) as queued,
        ):
            waited: RunState = {**state, "paused": state.get("paused", 0.0) + queued}
            attempt = ModelAttempt(
                waited,
                _planning(state, name),
                ladder,
                log,
                queued,
                left_out,
                asked=digest(asked),
                purpose="answer",
            )
            completion = await _asked(attempt, asked, tell)
            attempt.end()
        if isinstance(completion, Completion):
            late = TIMED_OUT if completion.finish_reason == TIMED_OUT else None
            attempt.note("answered", completion, error_class=late)
            answer = completion
        else:
            course.why, answer = completion, None
        course.took(attempt, answer, queued + paused.seconds)
        return answer


async def _asked(
    attempt: ModelAttempt, asked: list[Message], tell: Tell | None
) -> Completion | str:
    """The model's answer, or why there is none, which is noted then."""
    ladder, name, state = attempt.ladder, attempt.name, attempt.state
    left = seconds_left(state)
    timeout = ladder.timeout if left is None else max(0.0, min(ladder.timeout, left))

    heard: list[str] = []

    async def listen(part: str) -> None:
        heard.append(part)
        if tell is not None:
            await tell(part)

    async def ask(seconds: float) -> Completion:
        return await attempt.model.say(asked, timeout=seconds, tell=listen)

    if name not in ladder.models:
        return _skipped(attempt, "not_configured", f"{name} is configured no more")
    if not await ladder.breaker.allows(name):
        return _skipped(attempt, "circuit_open", f"{name} is left alone after failures")
    try:
        completion = await charged(attempt, asked, None, ask, timeout=timeout)
    except NotAffordable as refusal:
        return _skipped(attempt, "budget_exceeded", refusal.reason)
    except BudgetExceeded as refusal:
        return _skipped(attempt, "daily_budget_exceeded", refusal.reason)
    except ModelFailure as failure:
        if tell is not None and heard and failure.error_class == "timeout":
            return Completion("".join(heard), TIMED_OUT)  # what was said is worth keeping
        return _failed(attempt, failure, silent=not heard)
    ladder.breaker.succeeded(name)
    return completion


def _skipped(attempt: ModelAttempt, error_class: str, reason: str) -> str:
    attempt.note("skipped", error_class=error_class, reasons=[reason])
    return reason


def _failed(attempt: ModelAttempt, failure: ModelFailure, *, silent: bool) -> str:
    """It is not tried again: the run is done, and somebody waits for its end.

    Planning is held back only by what would stop it, too: a model that cannot be reached, or does
    not let us in. A long answer says nothing of plans.
    """
    attempt.note(
        "failed",
        error_class=failure.error_class,
        transient=failure.transient,
        reasons=[failure.detail] if failure.detail else [],
    )
    run_id = attempt.state["run_id"]
    logger.warning(
        "model gave no answer",
        extra={"run_id": run_id, "model": attempt.name, "error": failure.error_class},
    )
    if silent and (failure.misconfigured or failure.error_class == "unreachable"):
        attempt.ladder.breaker.failed(attempt.name, failure, given_up=False, run_id=run_id)
    return f"{attempt.name}: {failure.error_class}"


def _model(ladder: ModelLadder, state: RunState) -> str | None:
    """Who answers: who planned last, else the first one that can be asked now."""
    choice = state.get("choice")
    if choice and choice["model"] is not None:
        return choice["model"]
    planners: list[PlannedBy | None] = [entry["planned_by"] for entry in rounds_of(state)[::-1]]
    planned = [by["model"] for by in planners if by and by["model"] is not None]
    judged = next((by["complexity"] for by in planners if by and by["complexity"]), None)
    names = [*planned, *ladder.queue(judged["score"] if judged else 0.0)]
    usable = [
        name
        for name in names
        if name in ladder.models
        and not ladder.breaker.holds_back(name)
        and not ladder.lacks_key(name)
    ]
    return next(iter([*usable, *names]), None)


def _planning(state: RunState, name: str) -> Planning:
    """What a call is noted by: of the last round, which is over."""
    planning = first_of(state["prompt"], [name])
    planning["round"] = max(1, len(rounds_of(state)))
    return planning


def _read(texts: list[str], schema: dict[str, Any], max_bytes: int) -> tuple[Any, list[str]]:
    """The one value, and what is wrong with it; None where something is."""
    if len(texts) > 1:
        return None, [f"there are {len(texts)} values instead of one"]
    return fitting(texts[0], schema, max_bytes=max_bytes)


def _no_answer(course: _Course) -> Structured:
    return Structured(value=None, reason=f"there is no answer: {course.why}")


def _written(course: _Course, result: Result, shaped: Structured | None) -> Update:
    """The update with the answer in the result, and with what it has cost."""
    if course.text and course.model is not None:
        answer = Answer(text=course.text, model=course.model, source=course.source)
        result = {**result, "answer": answer}
    if shaped is not None:
        result = {**result, "structured": shaped}
    names = ("planning_log", "usage", "paused")
    changed: Update = {name: course.state.get(name) for name in names}
    return {"result": result} | {
        name: value for name, value in changed.items() if value is not None
    }
