"""The check on a plan: each reason to refuse it, said so that its planner can mend it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

import pytest
from pydantic import BaseModel, Field

from graph.state import DEFAULT_LIMITS, Limits, Step
from nodes.contract.plan_check import check_plan
from tools.registry import Tool, ToolCall, make_tools, tool


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


OWN = make_tools([say, scale, place])


def step(number: int, tool: str, **value: Any) -> Step:
    return Step(step=number, tool=tool, input=value, reasoning="", span=None)


def reasons(*steps: Step, tools: Mapping[str, Tool] = OWN, **limits: Any) -> list[str]:
    return check_plan(steps, tools, cast("Limits", {**DEFAULT_LIMITS, **limits}))


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
    assert reasons() == ["the plan has no steps"]


def test_too_many_steps_are_counted() -> None:
    steps = [step(number, "say", text="a") for number in range(1, 4)]

    assert reasons(*steps, max_steps=3) == []
    assert reasons(*steps, max_steps=2) == ["the plan has 3 steps; at most 2 are allowed"]


def test_an_unknown_tool_is_told_which_there_are() -> None:
    assert reasons(step(1, "shout", text="a")) == [
        "step 1: there is no tool 'shout'; there are say, scale, place"
    ]


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (step(1, "say"), "text of say: Field required"),
        (step(1, "say", text=None), "text of say: Input should be a valid string"),
        (step(1, "say", text="too long"), "text of say: String should have at most 5 characters"),
        (step(1, "say", text="a", loud=1), "loud of say: Extra inputs are not permitted"),
        (step(1, "say", text="a", call={}), "call of say: Extra inputs are not permitted"),
        (step(1, "scale", factor=1, mode="left"), "mode of scale: Input should be 'up' or 'down'"),
        (step(1, "place", points=[{"x": 1}, {}]), "points.1.x of place: Field required"),
        (
            step(1, "place", points=[], labels={"a": "b"}),
            "labels.a of place: Input should be a valid integer,"
            " unable to parse string as an integer",
        ),
    ],
)
def test_an_input_that_does_not_fit_names_the_field(call: Step, reason: str) -> None:
    assert reasons(call) == [f"step 1: {reason}"]


def test_an_input_that_fits_no_branch_of_a_union_is_told_all_of_them() -> None:
    assert reasons(step(1, "scale", factor="much")) == [
        "step 1: factor.int of scale: Input should be a valid integer,"
        " unable to parse string as an integer",
        "step 1: factor.list[int] of scale: Input should be a valid list",
    ]


def test_every_step_and_every_field_that_is_wrong_is_told() -> None:
    found = reasons(step(1, "say", text=[]), step(2, "shout"), step(3, "place", points=1, x=2))

    assert [reason[:6] for reason in found] == ["step 1", "step 2", "step 3", "step 3"]


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (3, "{step_3_output} does not come before it; use steps 1 to 1"),
        (2, "{step_2_output} does not come before it; use steps 1 to 1"),
        (9, "{step_9_output} does not come before it; use steps 1 to 1"),
    ],
    ids=["forward", "self", "missing"],
)
def test_a_reference_must_point_backwards(target: int, reason: str) -> None:
    plan = [
        step(1, "say", text="a"),
        step(2, "say", text=f"{{step_{target}_output.text}}"),
        step(3, "say", text="b"),
    ]

    assert reasons(*plan) == [f"step 2: {reason}"]


def test_the_first_step_can_refer_to_none() -> None:
    assert reasons(step(1, "say", text="{step_1_output}")) == [
        "step 1: {step_1_output} does not come before it; the first step can refer to none"
    ]


def test_a_malformed_reference_is_told_the_right_form() -> None:
    assert reasons(step(1, "say", text="{last}")) == [
        "step 1: {last} is no reference; write {step_1_output}, or {{ and }} for literal braces"
    ]


def test_steps_are_numbered_in_order() -> None:
    assert reasons(step(2, "say", text="a"), step(2, "say", text="b")) == [
        "step 1 is numbered 2; steps count from 1"
    ]


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
    ("value", "reason"),
    [
        (
            {"points": [{"x": "{step_1_output}", "y": "up"}]},
            "points.0.y of place: Input should be a valid integer,"
            " unable to parse string as an integer",
        ),
        ({"points": [{"y": "{step_1_output}"}]}, "points.0.x of place: Field required"),
        (
            {"point": "{step_1_output}", "points": []},
            "point of place: Extra inputs are not permitted",
        ),
        ({"labels": {"a": "{step_1_output}"}}, "points of place: Field required"),
    ],
    ids=["beside", "missing beside", "unknown field", "missing"],
)
def test_a_reference_excuses_nothing_but_its_own_value(value: Any, reason: str) -> None:
    assert reasons(step(1, "say", text="a"), step(2, "place", **value)) == [f"step 2: {reason}"]


@pytest.mark.parametrize("text", ["{{a}}", "{{{{{{", "{{x}}}}"])
def test_a_limit_on_length_is_meant_for_the_words_not_for_their_escapes(text: str) -> None:
    assert reasons(step(1, "say", text=text)) == []


def test_braces_of_a_person_in_a_wrong_value_are_no_reference() -> None:
    assert reasons(step(1, "place", points="{{here}}")) == [
        "step 1: points of place: Input should be a valid list"
    ]


def test_the_tools_of_the_package_are_checked_alike(tools: Mapping[str, Tool]) -> None:
    plan = [
        step(1, "calculator", expression="42 * 8"),
        step(2, "todo_store.add", text="{step_1_output}"),
        step(3, "todo_store.list", status="done"),
    ]

    assert reasons(*plan, tools=tools) == [
        "step 3: status of todo_store.list: Input should be 'open', 'completed' or 'all'"
    ]
