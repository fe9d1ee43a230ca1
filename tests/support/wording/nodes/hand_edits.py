"""Why a state that somebody edited by hand cannot go on."""

from collections.abc import Mapping
from typing import Any, cast

from graph.state import RunState, Step
from nodes.approval.hand_edits import check_done, checked_plan, refused
from nodes.approval.questions import PlanUnfit
from tests.support.runs.run_states import planned, queued
from tests.support.wording.messages import masked
from tools.loading import BUILTIN
from tools.registry import make_tools

_TOOLS = make_tools(BUILTIN)

#: What a running state with a plan of two steps is edited into.
_EDITS: Mapping[str, dict[str, Any]] = {
    "plan": {"plan": {"steps": []}},
    "plan.shape": {"plan": "none"},
    "cursor": {"cursor": 97},
    "all-left-out": {"skipped": [1, 2]},
    "not-done": {"cursor": 1},
    "field": {"limits": None},
    "field.missing": {"usage": {}},
    "run_id": {"run_id": "x"},
    "log": {"log": [{"kind": "attempt", "step": 1}]},
}


def messages() -> dict[str, str]:
    """How each of these runs ends."""
    told = {key: _end(edits) for key, edits in _EDITS.items()}
    told["cursor"] = masked(told["cursor"], cursor=97)
    state = _state({})
    try:
        check_done(state["plan"], state)
    except PlanUnfit as unfit:
        told["ended"] = _message(state, unfit)
    return told


def _state(edits: dict[str, Any]) -> RunState:
    state = planned(queued())
    state["plan"]["steps"] = [
        Step(step=number, tool="calculator", input={"expression": "1"}, reasoning="", span=None)
        for number in (1, 2)
    ]
    return cast("RunState", {"skipped": [], "forked_from": None, **state, **edits})


def _end(edits: dict[str, Any]) -> str:
    state = _state(edits)
    try:
        checked_plan(state, _TOOLS)
    except PlanUnfit as unfit:
        return _message(state, unfit)
    raise AssertionError(edits)


def _message(state: RunState, unfit: PlanUnfit) -> str:
    return str(refused(state, unfit)["error"]["message"])
