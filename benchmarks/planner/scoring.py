"""Whether a plan is right, by the rules in `README.md`."""

import re
from collections.abc import Sequence
from fractions import Fraction

from benchmarks.planner.rows import Request, Wanted
from graph.state import Step
from tools.calculator import calculate
from tools.registry import ToolError

TOLERANCE = Fraction(1, 10**9)
_REFERENCE = re.compile(r"\{step_(\d+)_output\}")
_ARTICLE = re.compile(r"^(?:the|a|an|my|some) ")
_ENDS = " \t.,;:!?\"'\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}“”"


def tool_right(request: Request, steps: Sequence[Step]) -> bool:
    """Whether exactly the tool that the row wants is called, once, or none where none fits."""
    wanted = request.plans[0]
    if not wanted:
        return not steps
    return len(steps) == 1 and steps[0]["tool"].partition(".")[0] == wanted[0].tool


def action_right(wanted: Wanted, step: Step) -> bool:
    """Whether the tool, and for a to-do its operation, is one of those that are right."""
    tool, _, action = step["tool"].partition(".")
    return tool == wanted.tool and (not wanted.actions or action in wanted.actions)


def item_right(wanted: Wanted, step: Step) -> bool:
    """Whether the to-do's words are right; case, quotes, end signs and an article do not count."""
    if not wanted.items:
        return True
    if step["tool"] == "todo_store.list":
        return True  # asking whether something is on the list needs no words
    given = step["input"].get("text") or step["input"].get("todo") or ""
    if not isinstance(given, str):  # several to-dos in one step
        return False
    return _plain(given) in {_plain(item) for item in wanted.items}


def value_right(wanted: Wanted, steps: Sequence[Step], at: int) -> bool:
    """Whether the expression of step `at` has the wanted value."""
    if wanted.value is None:
        return True
    value = _value(steps, at)
    return value is not None and abs(value - Fraction(wanted.value)) <= TOLERANCE


def exact(request: Request, steps: Sequence[Step]) -> bool:
    """Whether the steps are one of the right plans: tools, actions, values and items in order."""
    return any(
        len(plan) == len(steps)
        and all(
            action_right(wanted, step)
            and item_right(wanted, step)
            and value_right(wanted, steps, at)
            for at, (wanted, step) in enumerate(zip(plan, steps, strict=True))
        )
        for plan in request.plans
    )


def expression_right(text: str, wanted: str | None) -> bool:
    """Whether the calculator gives the wanted value, or an error where `wanted` is None."""
    try:
        value = Fraction(str(calculate(text)))
    except ToolError:
        return wanted is None
    return wanted is not None and abs(value - Fraction(wanted)) <= TOLERANCE


def _value(steps: Sequence[Step], at: int) -> Fraction | None:
    expression = steps[at]["input"].get("expression")
    if expression is None:
        return None
    earlier = {int(number) for number in _REFERENCE.findall(expression)}
    values = {number: _value(steps, number - 1) for number in earlier}
    if None in values.values():
        return None
    expression = _REFERENCE.sub(lambda found: str(values[int(found[1])]), expression)
    try:
        return Fraction(str(calculate(expression)))
    except ToolError:
        return None


def _plain(text: str) -> str:
    return _ARTICLE.sub("", text.strip(_ENDS).casefold()).strip(_ENDS)
