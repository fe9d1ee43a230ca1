"""The check on a plan: each reason to refuse it, said so that its planner can mend it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

import pytest
from pydantic import BaseModel, Field

from graph.state import DEFAULT_LIMITS, Limits, Step
from nodes.contract.checks import check_plan
from tests.support.wording.messages import wording
from tools.registry import ToolCall, make_tools, tool
from tools.toolbox import Tool


class Place(BaseModel):
    """Where something is."""

    x: int
    y: int = 0


class Name(BaseModel):
    """What something is called."""

    name: str


@tool("say")
async def say(text: Annotated[str, Field(max_length=5)], call: ToolCall) -> str:
    """Say a few letters."""
    return text


@tool("scale")
async def scale(
    factor: int | list[int], mode: Literal["up", "down"] = "up", at: Place | Name | None = None
) -> None:
    """Scale something."""


@tool("place")
async def place(points: list[Place], labels: dict[str, int] | None = None) -> None:
    """Place several things."""


@tool("keep")
async def keep(value: Any) -> None:
    """Keep whatever it is."""


OWN = make_tools([say, scale, place])


def step(number: int, tool: str, **value: Any) -> Step:
    return Step(step=number, tool=tool, input=value, reasoning="", span=None)


def reasons(*steps: Step, tools: Mapping[str, Tool] = OWN, **limits: Any) -> list[str]:
    return check_plan(steps, tools, cast("Limits", {**DEFAULT_LIMITS, **limits}))


def places(found: list[str]) -> list[str]:
    """Step and field of each reason."""
    return [reason.rpartition(": ")[0] for reason in found]


@pytest.mark.parametrize(
    "steps",
    [
        [step(1, "say", text="hello")],
        [step(1, "scale", factor=2), step(2, "say", text="{step_1_output}")],
        [step(1, "place", points=[{"x": 1}, {"x": 2, "y": 3}], labels={"a": 1})],
        [step(1, "scale", factor="3", mode="down", at=None)],
        [step(1, "say", text=12345)],
    ],
    ids=["plain", "reference", "nested", "lax", "number as text"],
)
def test_a_good_plan_has_no_reasons_against_it(steps: list[Step]) -> None:
    assert reasons(*steps) == []


def test_an_empty_plan_is_no_plan() -> None:
    assert reasons() == [wording("plans.no-steps")]


def test_too_many_steps_are_counted() -> None:
    steps = [step(number, "say", text="a") for number in range(1, 4)]

    assert reasons(*steps, max_steps=3) == []
    assert reasons(*steps, max_steps=2) == [wording("plans.steps", steps=3, most=2)]


def test_an_unknown_tool_is_told_which_there_are() -> None:
    assert reasons(step(1, "shout", text="a")) == [
        wording("plans.tool", tool="shout", tools="say, scale, place")
    ]


@pytest.mark.parametrize(
    ("call", "place"),
    [
        (step(1, "say"), "text of say"),
        (step(1, "say", text=None), "text of say"),
        (step(1, "say", text="too long"), "text of say"),
        (step(1, "say", text="a", loud=1), "loud of say"),
        (step(1, "say", text="a", call={}), "call of say"),
        (step(1, "scale", factor=1, mode="left"), "mode of scale"),
        (step(1, "place", points=[{"x": 1}, {}]), "points.1.x of place"),
        (step(1, "place", points=[], labels={"a": "b"}), "labels.a of place"),
    ],
)
def test_an_input_that_does_not_fit_names_the_field(call: Step, place: str) -> None:
    assert places(reasons(call)) == [f"step 1: {place}"]


def test_an_input_that_fits_no_branch_of_a_union_is_told_all_of_them() -> None:
    assert places(reasons(step(1, "scale", factor="much"))) == [
        "step 1: factor.int of scale",
        "step 1: factor.list[int] of scale",
    ]


def test_every_step_and_every_field_that_is_wrong_is_told() -> None:
    found = reasons(step(1, "say", text=[]), step(2, "shout"), step(3, "place", points=1, x=2))

    assert [reason[:6] for reason in found] == ["step 1", "step 2", "step 3", "step 3"]


@pytest.mark.parametrize("target", [3, 2, 9], ids=["forward", "self", "missing"])
def test_a_reference_must_point_backwards(target: int) -> None:
    plan = [
        step(1, "say", text="a"),
        step(2, "say", text=f"{{step_{target}_output.text}}"),
        step(3, "say", text="b"),
    ]

    assert reasons(*plan) == [wording("plans.forward", target=target)]


def test_the_first_step_can_refer_to_none() -> None:
    assert reasons(step(1, "say", text="{step_1_output}")) == [wording("plans.forward.first")]


def test_a_malformed_reference_is_told_the_right_form() -> None:
    assert reasons(step(1, "say", text="{last}")) == [wording("plans.malformed")]


def test_steps_are_numbered_in_order() -> None:
    assert reasons(step(2, "say", text="a"), step(2, "say", text="b")) == [wording("plans.numbers")]


@pytest.mark.parametrize(
    "value",
    [
        {"factor": "{step_1_output}"},
        {"factor": ["{step_1_output}", 2]},
        {"factor": 1, "mode": "{step_1_output.mode}"},
        {"factor": 1, "at": "{step_1_output}"},
        {"factor": 1, "at": {"x": "{step_1_output}"}},
        {"factor": 1, "at": {"name": "{step_1_output}"}},
        {"factor": 1, "at": {"x": 1, "y": "{step_1_output}"}},
    ],
)
def test_a_value_that_holds_a_reference_fits_until_it_is_resolved(value: dict[str, Any]) -> None:
    assert reasons(step(1, "say", text="a"), step(2, "scale", **value)) == []


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"points": [{"x": "{step_1_output}", "y": "up"}]}, "points.0.y of place"),
        ({"points": [{"y": "{step_1_output}"}]}, "points.0.x of place"),
        ({"point": "{step_1_output}", "points": []}, "point of place"),
        ({"labels": {"a": "{step_1_output}"}}, "points of place"),
    ],
    ids=["beside", "missing beside", "unknown field", "missing"],
)
def test_a_reference_excuses_nothing_but_its_own_value(value: Any, place: str) -> None:
    found = reasons(step(1, "say", text="a"), step(2, "place", **value))

    assert places(found) == [f"step 2: {place}"]


@pytest.mark.parametrize("text", ["{{a}}", "{{{{{{", "{{x}}}}"])
def test_a_limit_on_length_is_meant_for_the_words_not_for_their_escapes(text: str) -> None:
    assert reasons(step(1, "say", text=text)) == []


def test_braces_of_a_person_in_a_wrong_value_are_no_reference() -> None:
    assert places(reasons(step(1, "place", points="{{here}}"))) == ["step 1: points of place"]


def test_the_tools_of_the_package_are_checked_alike(tools: Mapping[str, Tool]) -> None:
    plan = [
        step(1, "calculator", expression="42 * 8"),
        step(2, "todo_store.add", text="{step_1_output}"),
        step(3, "todo_store.list", status="done"),
    ]

    assert places(reasons(*plan, tools=tools)) == ["step 3: status of todo_store.list"]


DEEP: Any = "a"
for _ in range(200):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "value",
    [2**63, -(2**63) - 1, 10**400, float("inf"), float("nan"), "half \ud800", DEEP, {1, 2}],
    ids=["int", "negative", "large", "inf", "nan", "surrogate", "deep", "set"],
)
@pytest.mark.parametrize("wrapped", [False, True], ids=["alone", "in a list"])
def test_what_no_checkpoint_holds_is_no_input(value: Any, wrapped: bool) -> None:
    """Found before anything is done, where the tool itself would take it as well."""
    given = step(1, "keep", value=[value] if wrapped else value)
    (reason,) = reasons(given, tools=make_tools([keep]))

    assert reason.startswith("step 1: the input ")


def test_an_integer_of_64_bits_is_an_input() -> None:
    given = step(1, "keep", value=[2**63 - 1, -(2**63)])
    assert reasons(given, tools=make_tools([keep])) == []
