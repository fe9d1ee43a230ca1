"""Steps that may have acted: what becomes of them, and what a person is asked about them."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from langgraph.types import interrupt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from graph.state import (
    Attempt,
    Mark,
    Question,
    ResolvedAs,
    RunState,
    in_doubt,
    run_error,
)
from graph.state.rounds import after_steps
from nodes.approval.asking import EXPIRES
from nodes.contract.json_data import InvalidOutput, plain
from nodes.contract.steps import missed, next_cursor
from tools.invocation import Outcome
from tools.registry import InDoubt, Tool

#: What each answer means.
ANSWERS: Mapping[ResolvedAs, str] = {
    "done": "it has acted, and the run goes on with its output",
    "redo": "it has not acted, or may act once more: it is called again",
    "skip": "the run goes on without it",
    "fail": "the run fails",
}

_HOW = (
    'resume with "done", "redo", "skip" or "fail", or with an object:'
    ' {"as": "done", "output": …} says what it has returned'
)


class AnswerUnfit(Exception):
    """An answer that cannot be carried out; `reasons` say why, about the part `field` of it."""

    def __init__(self, field: str, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.field = field
        self.reasons = reasons


class _Answer(BaseModel):
    """What the graph is resumed with, by the server as by Studio."""

    model_config = ConfigDict(extra="forbid", strict=True)

    what: Literal["resolved", "expired"] = "resolved"
    decided: ResolvedAs = Field(alias="as")
    output: Any = None
    question: int | None = None
    at: float | None = Field(None, ge=0, allow_inf_nan=False)
    by: str = "whoever resumed it"
    learned: dict[str, Any] | None = None


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
        answer, attempt = _read(given), question["attempt"]
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
                message = _failed(question, answer)
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


def checked_answer(state: RunState, attempt: Attempt, decided: ResolvedAs, output: Any) -> Any:
    """The output as it is kept. Raises `AnswerUnfit` for what cannot be carried out."""
    if decided != "done":
        if output is not None:
            raise AnswerUnfit("output", [f"an output goes with done only, not with {decided}"])
        if decided == "skip":
            _check_skip(state, attempt["step"])
        return None
    try:
        return plain(output, max_bytes=state["limits"]["max_output"])
    except InvalidOutput as error:
        raise AnswerUnfit("output", [str(error)]) from None


def _check_skip(state: RunState, step: int) -> None:
    steps, skipped = state["plan"]["steps"], {*state.get("skipped", []), step}
    if reasons := missed(steps, skipped, state["cursor"]):
        raise AnswerUnfit("as", list(dict.fromkeys(reasons)))


def _failed(question: Question, answer: _Answer) -> str:
    attempt = question["attempt"]
    about = f"step {attempt['step']} ({attempt['tool']})"
    if answer.what == "expired":
        return f"nobody said in time whether {about} has acted"
    error = attempt["error"]
    known = f": {error['message']}" if error else ""
    return f"{about} was in doubt and is taken as failed{known}"


def doubt_question(question: Question, reasons: Sequence[str] = ()) -> dict[str, Any]:
    """What a person is asked about a step in doubt; `reasons` say why it is asked again."""
    attempt = question["attempt"]
    error = attempt["error"]
    return {
        "question": f"Has step {attempt['step']} ({attempt['tool']}) acted? {_HOW}.",
        "step": attempt["step"],
        "tool": attempt["tool"],
        "input": attempt["input"],
        "known": error and error["message"],
        "expires_at": question["expires_at"],
        "answers": dict(ANSWERS),
        "reasons": [*reasons],
    }


def _read(given: object) -> _Answer:
    """The answer that was meant. Raises `AnswerUnfit`."""
    if isinstance(given, str):
        given = {"as": given}
    if not isinstance(given, dict):
        raise AnswerUnfit("as", [_HOW])
    try:
        return _Answer.model_validate(given)
    except ValidationError as invalid:
        faults = invalid.errors(include_url=False, include_context=False)
        lines = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults]
        raise AnswerUnfit("as", [_HOW, *lines]) from None


def learned_text(value: Any, error: BaseException | None, longest: int) -> str:
    """What a call has returned or raised, in few words."""
    if error is not None:
        return type(error).__name__
    try:
        text = json.dumps(plain(value, max_bytes=64 * longest), ensure_ascii=False)
    except Exception:  # whatever an object's own methods do when it is looked at
        return f"a value of type {type(value).__name__} that is no plain data"
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
