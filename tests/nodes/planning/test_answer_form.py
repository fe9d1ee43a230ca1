"""The schema of a plan: what every strict mode takes, and loses no valid input by."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.state import DEFAULT_LIMITS
from nodes.planning.answer import JsonSchema, answer_form, read_answer
from tests.support.models.scripted_models import plan_of
from tests.support.own_tools.odd_tools import CLOSED, OPEN, label, paint, rest, subscription
from tools.registry import make_tool, make_tools
from tools.toolbox import Tool

KEYWORDS = {"type", "properties", "required", "additionalProperties", "items", "anyOf", "enum"}


def inputs(*functions: Callable[..., Any]) -> list[JsonSchema]:
    """The schema of each tool's input in the union form."""
    form = answer_form(make_tools(functions))
    assert form.kind == "union"
    step = form.schema["properties"]["steps"]["items"]
    return [branch["properties"]["input"] for branch in step.get("anyOf", [step])]


def parts(schema: JsonSchema) -> Iterator[JsonSchema]:
    """A schema and every schema inside it."""
    yield schema
    inside = [*schema.get("properties", {}).values(), *schema.get("anyOf", ())]
    for part in [*inside, schema["items"]] if "items" in schema else inside:
        yield from parts(part)


def fits(value: Any, schema: JsonSchema) -> bool:
    """What a provider that enforces the schema lets a model write."""
    if "anyOf" in schema:
        return any(fits(value, branch) for branch in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    match schema["type"]:
        case "object":
            known = schema["properties"]
            return (
                isinstance(value, dict)
                and value.keys() == known.keys()
                and all(fits(value[name], known[name]) for name in known)
            )
        case "array":
            return isinstance(value, list) and all(fits(item, schema["items"]) for item in value)
        case kind:
            python = {"string": str, "integer": int, "number": int | float, "boolean": bool}
            return value is None if kind == "null" else isinstance(value, python[kind])


def written(value: Any, schema: JsonSchema) -> Any:
    """A value as a model must write it: whatever it leaves out is there, and null."""
    for part in schema.get("anyOf", [schema]):
        if isinstance(value, dict) and part.get("type") == "object":
            full = {
                name: written(value.get(name), inner) for name, inner in part["properties"].items()
            }
            if value.keys() <= full.keys() and fits(full, part):
                return full
        if isinstance(value, list) and part.get("type") == "array":
            return [written(item, part["items"]) for item in value]
    return value


@pytest.mark.parametrize("functions", [CLOSED, OPEN, CLOSED + OPEN], ids=["union", "open", "both"])
def test_the_schema_has_only_what_every_strict_mode_takes(
    functions: tuple[Callable[..., Any], ...], tools: Mapping[str, Tool]
) -> None:
    """Closed objects with every property required; no bounds, defaults, titles or references."""
    form = answer_form({**tools, **make_tools(functions)})

    for part in parts(form.schema):
        assert part.keys() <= KEYWORDS
        if part.get("type") == "object":
            assert part["additionalProperties"] is False
            assert part["required"] == list(part["properties"])
        if part.get("type") == "array":
            assert part["items"]
        assert part.keys() & {"type", "anyOf", "enum"}


def test_a_step_of_the_union_has_one_branch_a_tool() -> None:
    form = answer_form(make_tools([paint, rest]))
    branches = form.schema["properties"]["steps"]["items"]["anyOf"]

    assert [branch["properties"]["tool"]["enum"] for branch in branches] == [["paint"], ["rest"]]
    for branch in branches:
        assert list(branch["properties"]) == ["reasoning", "tool", "input"]


def test_a_single_tool_needs_no_union() -> None:
    step = answer_form(make_tools([rest])).schema["properties"]["steps"]["items"]

    assert step["properties"]["tool"] == {"type": "string", "enum": ["rest"]}
    assert step["properties"]["input"]["properties"] == {}


def test_values_keep_their_types_and_choices() -> None:
    """A parameter that is called like a keyword is none."""
    (schema,) = inputs(paint)

    assert schema["properties"] == {
        "colour": {"type": "string", "enum": ["red", "blue"]},
        "times": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "title": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "format": {"anyOf": [{"type": "string", "enum": ["wide", "tall"]}, {"type": "null"}]},
        "glossy": {"anyOf": [{"type": "boolean"}, {"type": "null"}, {"type": "string"}]},
    }


def test_nested_objects_are_inlined_and_as_strict_as_the_outer_one() -> None:
    """Optional is nullable and a number may be a reference, however deep."""
    (schema,) = inputs(label)
    tag = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "weight": {"anyOf": [{"type": "number"}, {"type": "null"}, {"type": "string"}]},
        },
        "required": ["name", "weight"],
        "additionalProperties": False,
    }

    assert schema["properties"]["tags"] == {
        "anyOf": [
            {"type": "array", "items": {"anyOf": [tag, {"type": "string"}]}},
            {"type": "string"},
        ]
    }
    assert schema["properties"]["main"] == {"anyOf": [tag, {"type": "null"}, {"type": "string"}]}


def test_a_discriminated_union_is_an_any_of() -> None:
    (schema,) = inputs(subscription)
    cat, dog, reference = schema["properties"]["pet"]["anyOf"]

    assert cat["properties"]["kind"] == {"type": "string", "enum": ["cat"]}
    assert dog["properties"]["kind"] == {"type": "string", "enum": ["dog"]}
    assert reference == {"type": "string"}


@pytest.mark.parametrize("function", OPEN)
def test_one_tool_with_open_arguments_makes_the_whole_form_compact(
    function: Callable[..., Any], tools: Mapping[str, Tool]
) -> None:
    """An open object in a closed schema would come back empty, without an error."""
    form = answer_form({**tools, **make_tools([function])})
    names = [*tools, function.__name__]

    assert form.kind == "compact"
    assert form.schema["properties"]["steps"]["items"]["properties"] == {
        "reasoning": {"type": "string"},
        "tool": {"type": "string", "enum": names},
        "input_json": {"type": "string"},
    }


def test_many_tools_make_the_form_compact() -> None:
    def many(number: int) -> Mapping[str, Tool]:
        made = make_tool(paint)
        return {
            f"paint_{at}": made.model_copy(update={"name": f"paint_{at}"}) for at in range(number)
        }

    assert answer_form(many(5)).kind == "union"
    assert answer_form(many(50)).kind == "compact"
    assert answer_form(many(5), max_union=100).kind == "compact"
    assert len(json.dumps(answer_form(many(50)).schema)) < 1500


def test_the_built_in_tools_are_asked_for_as_a_union(tools: Mapping[str, Tool]) -> None:
    assert answer_form(tools).kind == "union"


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (paint, {"colour": "red", "times": 2}),
        (
            paint,
            {"colour": "blue", "times": 1, "title": "sky", "format": "tall", "glossy": True},
        ),
        (label, {"tags": []}),
        (label, {"tags": [{"name": "a"}, {"name": "b", "weight": 2.5}], "names": ["x", 1]}),
        (label, {"tags": [], "main": {"name": "m"}}),
        (subscription, {"pet": {"kind": "cat"}}),
        (subscription, {"pet": {"kind": "dog", "tricks": ["sit"]}, "grams": "a lot"}),
        (rest, {}),
    ],
)
def test_every_valid_input_can_be_written_and_is_read_back(
    function: Callable[..., Any], value: dict[str, Any]
) -> None:
    """What is left out is written as null, at every depth, and read as left out."""
    made = make_tools([function])
    (schema,) = inputs(function)
    asked = written(value, schema)
    (step,) = read_answer(plan_of((function.__name__, asked)), made, DEFAULT_LIMITS).steps

    assert fits(asked, schema)
    model = made[function.__name__].schema_model
    assert model.model_validate(step["input"]) == model.model_validate(value)


WORDS = st.text(st.characters(exclude_characters="{}", exclude_categories=["Cs"]))


@given(
    st.fixed_dictionaries(
        {
            "tags": st.lists(
                st.fixed_dictionaries({"name": WORDS}, optional={"weight": st.floats(-9, 9)})
            )
        },
        optional={"names": st.none() | st.lists(WORDS | st.integers(-9, 9))},
    )
)
def test_any_nested_input_survives_the_way_through_the_schema(value: dict[str, Any]) -> None:
    made = make_tools([label])
    (schema,) = inputs(label)
    asked = written(value, schema)
    (step,) = read_answer(plan_of(("label", asked)), made, DEFAULT_LIMITS).steps
    model = made["label"].schema_model

    assert fits(asked, schema)
    assert model.model_validate(step["input"]) == model.model_validate(value)
