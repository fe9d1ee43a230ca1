"""Why a plan must not be executed."""

from collections.abc import Mapping
from typing import Any, cast

from graph.state import DEFAULT_LIMITS, RunState, Step
from nodes.contract.checks import check_plan, missed, run_tools
from tests.support.wording.messages import masked
from tools.loading import BUILTIN
from tools.registry import make_tools

_TOOLS = make_tools(BUILTIN)


def _steps(*calls: tuple[str, dict[str, Any]], first: int = 1) -> list[Step]:
    return [
        Step(step=number, tool=tool, input=value, reasoning="", span=None)
        for number, (tool, value) in enumerate(calls, start=first)
    ]


def _calculating(*expressions: str) -> list[Step]:
    return _steps(*(("calculator", {"expression": text}) for text in expressions))


#: Plans with one fault, by what it is.
_PLANS: Mapping[str, list[Step]] = {
    "no-steps": [],
    "numbers": _steps(("calculator", {"expression": "1"}), first=2),
    "forward.first": _calculating("{step_1_output}"),
    "malformed": _calculating("{last}"),
    "input.missing": _steps(("calculator", {})),
    "input.type": _steps(("calculator", {"expression": []})),
    "input.unknown": _steps(("calculator", {"expression": "1", "digits": 2})),
    "input.choice": _steps(("todo_store.list", {"status": "late"})),
}


def messages() -> dict[str, str]:
    """The one reason against each of these plans."""
    told = {key: _reason(steps) for key, steps in _PLANS.items()}
    told["steps"] = masked(_reason(_calculating(*["1"] * 97), max_steps=43), steps=97, most=43)
    told["tool"] = masked(
        _reason(_steps(("<tool>", {}))), tools="calculator, " + ", ".join([*_TOOLS][1:])
    )
    told["tool.not-of-run"] = masked(_of_run(_steps(("<tool>", {}))), tools="calculator")
    told["forward"] = masked(_reason(_calculating("1", "{step_97_output}")), target=97)
    told["left-out"] = missed(_calculating("1", "2", "{step_2_output}"), [2], 0)[0]
    return told


def _of_run(steps: list[Step]) -> str:
    state = cast("RunState", {"owner": "default", "choice": {"tools": ["calculator"]}})
    [reason] = check_plan(steps, run_tools(state, _TOOLS), DEFAULT_LIMITS)
    return reason


def _reason(steps: list[Step], **limits: Any) -> str:
    [reason] = check_plan(steps, _TOOLS, {**DEFAULT_LIMITS, **limits})  # type: ignore[typeddict-item]
    return reason
