"""The node `finalize`: settles a run with its result or its error."""

import re
import time
from collections.abc import Collection, Mapping
from typing import Any, Protocol, cast

from langgraph.types import Overwrite

from graph.state import (
    AnswerPolicy,
    Result,
    RunState,
    answer_wanted,
    attempts,
    last_done,
    outputs,
)
from graph.state.rounds import dropped
from graph.state.wording import counted
from tools.toolbox import Tool

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(E[+-]?[0-9]+)?")

#: Of a run whose planner has answered, and planned nothing.
_WITHOUT_TOOLS = "answered without tools; nothing was done"

_LONGEST_NUMBER = 40  # characters; a longer one is counted, as other text is


class Answers(Protocol):
    """Writes the answers of runs, as `AnswerWriter` does."""

    async def write(self, state: RunState) -> dict[str, Any]:
        """What the answer adds to a run that is settled in this state."""


async def finalize(
    state: RunState,
    *,
    tools: Mapping[str, Tool],
    answers: Answers | None = None,
    policy: AnswerPolicy = "auto",
) -> dict[str, Any]:
    """Completed with the last step's output, or failed where an earlier node left an error.

    One that is incomplete has failed, and keeps what came out by then. Cancelled where a person did
    not want the plan to be executed. The log is written whole, so that who reads the run need not
    put it together. With `answers` a model says in words what came out, where that is wanted of a
    run that is completed or incomplete, by `policy` if by nothing else; what it says decides
    nothing.
    """
    settled = _settled(state, tools)
    answered = settled.get("result") is not None and answer_wanted(state, policy)
    if answers is not None and answered:
        settled |= await answers.write(cast("RunState", {**state, **settled}))
        settled["completed_at"] = time.time()
    return {"log": Overwrite(state.get("log", []))} | settled


def _settled(state: RunState, tools: Mapping[str, Tool]) -> dict[str, Any]:
    if error := state["error"]:
        unwanted = error["type"] in ("rejected", "cancelled")
        status = "cancelled" if unwanted else "failed"
        update = {"status": status, "completed_at": time.time(), "not_before": None}
        return update | ({"result": _result(state, tools)} if error.get("reason") else {})
    return {
        "status": "completed",
        "completed_at": time.time(),
        "result": _result(state, tools),
    }


def _result(state: RunState, tools: Mapping[str, Tool]) -> Result:
    """What came out, with how many steps were done, left out, and dropped for others."""
    if not state["plan"]["steps"]:
        return Result(output=None, summary=_WITHOUT_TOOLS, answer=None)
    skipped = state.get("skipped", [])
    output, tool = last_done(state) or (None, "")
    count, instead = len(state["plan"]["steps"]) - len(skipped), dropped(state)
    left_out = f", {len(skipped) - len(instead)} left out" if len(skipped) > len(instead) else ""
    failed = _failed(state, instead)
    if failed:
        left_out += f", {failed} failed"
    if len(instead) > failed:
        left_out += f", {len(instead) - failed} dropped"
    summary = f"{counted(count, 'step')} done{left_out}; {_described(output, tools.get(tool))}"
    return Result(output=output, summary=summary, answer=None)


def _failed(state: RunState, instead: Collection[int]) -> int:
    """How many of the dropped steps had failed, and not only been planned, or done."""
    tried = {entry["step"] for entry in attempts(state)} - outputs(state).keys()
    return len(tried & {*instead})


def _described(output: Any, tool: Tool | None) -> str:
    """An output in a few words: counted, never quoted, since it may be long or private."""
    noun = tool.noun if tool else "item"
    match output:
        case None:
            return "no output"
        case bool():
            return "yes" if output else "no"
        case int() | float():
            return f"the result is {output}"
        case str():
            number = _is_number(output)
            return f"the result is {output}" if number else counted(len(output), "character")
        case list():
            return counted(len(output), noun)
        case _:
            return counted(1, noun)


def _is_number(text: str) -> bool:
    return len(text) <= _LONGEST_NUMBER and _NUMBER.fullmatch(text) is not None
