"""Checks by schemas of strangers: their work is bounded, and what fits is told from what not."""

import copy
import functools
from collections.abc import Callable
from typing import Any

import pytest

from tools import schema_budget
from tools.mcp.listing import SchemaTool, check_schema
from tools.registry import InvalidTool
from tools.schema_budget import MAX_STEPS, Checker

TOO_MUCH = "its schema takes too much work to check"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def tool(**properties: Any) -> SchemaTool:
    async def nothing(**arguments: Any) -> Any:
        return arguments

    schema = {"type": "object", "properties": properties}
    return SchemaTool(
        name="files.read", description="Read.", args_schema=check_schema(schema), coroutine=nothing
    )


def told(made: SchemaTool, value: Any) -> list[str]:
    """What is wrong with the value as its property `x`."""
    return [fault.kind for fault in made.faults({"x": value})]


def twofold(keyword: str, depth: int, **beside: Any) -> dict[str, Any]:
    """A schema that is twice the next one, and so on."""
    parts = {
        f"a{at}": {keyword: [{"$ref": f"#/$defs/a{at + 1}"}] * 2, **beside} for at in range(depth)
    }
    return {"$defs": {**parts, f"a{depth}": {"type": "integer"}}}


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many keywords have been applied."""
    number = 0
    cost = schema_budget._cost

    def counted(*asked: Any) -> float:
        nonlocal number
        number += 1
        return cost(*asked)

    monkeypatch.setattr(schema_budget, "_cost", counted)
    return lambda: number


@pytest.mark.parametrize("beside", [{}, {"$schema": DIALECT}])
@pytest.mark.parametrize("keyword", ["anyOf", "oneOf"])
def test_a_schema_that_doubles_its_work_is_given_up_at_the_bound(
    applied: Callable[[], int], keyword: str, beside: dict[str, Any]
) -> None:
    """Neither does a dialect that is named within it bring the uncounted keywords back."""
    schema = {
        "type": "object",
        "properties": {"default": {"$ref": "#/$defs/a0"}},
        **twofold(keyword, 40, **beside),
    }
    made = tool().model_copy(update={"args_schema": check_schema(schema)})
    made.model_post_init(None)

    [fault] = made.faults({"default": "word"})

    assert fault.message == TOO_MUCH
    assert 0 < applied() <= MAX_STEPS


def test_a_schema_that_doubles_its_work_without_an_input_is_none(
    applied: Callable[[], int],
) -> None:
    with pytest.raises(InvalidTool, match=TOO_MUCH):
        check_schema({"type": "object", "$ref": "#/$defs/a0", **twofold("allOf", 40)})

    assert 0 < applied() <= MAX_STEPS


@pytest.mark.parametrize(
    ("pattern", "fits", "unfit", "kinds"),
    [
        (r"^(a+)+$", "a" * 60, "a" * 60_000 + "b", ["pattern"]),
        (r"^(a|a)*$", "a" * 60, "a" * 60 + "b", ["pattern"]),
        (r"^(?!a{50}b$)(a+)+\1$", "aaaa", "a" * 60 + "b", ["schema"]),  # which is given up
        (
            r"^(?!\.)(?!.*\.\.)[a-z.]+@[a-z.]+$",
            "joe@example.org",
            "joe..x@example.org",
            ["pattern"],
        ),
        (r"^.{1,100}$", "é" * 100, "é" * 101, ["pattern"]),
        (r"^[A-Za-z0-9+/=]*$", "QUJD" * 15_000, "QUJ-" * 15_000, ["pattern"]),
    ],
)
def test_a_pattern_does_not_try_without_end(
    pattern: str, fits: str, unfit: str, kinds: list[str]
) -> None:
    made = tool(x={"type": "string", "pattern": pattern})

    assert told(made, fits) == []
    assert told(made, unfit) == kinds


def test_names_are_matched_with_the_same_care() -> None:
    made = tool(
        x={"patternProperties": {"^(a+)+$": {"type": "string"}}, "additionalProperties": False}
    )

    assert told(made, {"a" * 60: "word"}) == []
    assert told(made, {"a" * 60: 1}) == ["type"]
    assert told(made, {"a" * 60 + "b": 1}) == ["extra_forbidden"]


@pytest.mark.parametrize("pattern", ["[", "(?P<a>x)(?P=a)", r"(\p{L}{90}){90}"])
def test_a_pattern_of_another_kind_is_left_to_the_server(pattern: str) -> None:
    assert told(tool(x={"pattern": pattern}), "word") == []


def test_many_large_patterns_are_too_much_work() -> None:
    large = {f"(\\p{{L}}{{90}}){{90}}{number}": {} for number in range(50)}

    with pytest.raises(InvalidTool, match=TOO_MUCH):
        check_schema({"type": "object", "patternProperties": large})


@pytest.mark.parametrize(
    ("items", "kinds"),
    [
        ([1, 2, "1"], []),
        ([1, True, 0, False, None], []),
        ([1, 1.0], ["uniqueItems"]),
        ([{"a": [1], "b": 2}, {"b": 2.0, "a": [1]}], ["uniqueItems"]),
        ([[number] for number in range(1_500)], []),
        ([[number] for number in range(6_500)], ["schema"]),
    ],
)
def test_items_are_told_apart_without_comparing_each_with_each(
    items: list[Any], kinds: list[str]
) -> None:
    assert told(tool(x={"type": "array", "uniqueItems": True}), items) == kinds


def test_long_lists_of_allowed_values_count_by_their_length() -> None:
    words = [f"{number:05}" for number in range(6_000)]
    made = tool(x={"type": "array", "items": {"enum": words}})

    assert told(made, words[-2:]) == []
    assert told(made, words[-2:] * 1_000) == ["schema"]


def test_a_message_with_all_of_the_input_in_it_counts_by_its_length(
    applied: Callable[[], int],
) -> None:
    made = tool(x={"anyOf": [{"type": "integer"}] * 1_000})

    assert told(made, "word") == ["anyOf"]
    before = applied()
    assert told(made, "x" * 60_000) == ["schema"]
    assert applied() - before < 100


def test_a_name_of_a_schema_counts_by_the_size_of_all(applied: Callable[[], int]) -> None:
    """It is looked for in all of it, at each reference."""
    named = {f"d{number}": {"$anchor": f"a{number}"} for number in range(300)}
    schema = {
        "type": "object",
        "properties": {"x": {"items": {"$ref": "#a299"}}},
        "$defs": named,
    }

    assert Checker(schema).errors({"x": [1]}, 1) == []
    with pytest.raises(schema_budget.Exhausted):
        Checker(schema).errors({"x": [1] * 50}, 1)
    assert applied() < 100


def test_an_input_of_a_usual_size_is_checked_whole() -> None:
    row = {
        "type": "object",
        "properties": {"name": {"type": "string", "pattern": "^[a-z]+$"}, "n": {"type": "integer"}},
        "required": ["name"],
        "additionalProperties": False,
    }
    made = tool(x={"type": "array", "items": {"$ref": "#/properties/row"}}, row=row)
    rows: list[Any] = [{"name": "word", "n": 1}] * 250

    assert told(made, rows) == []
    assert told(made, [*rows, {"name": "two words"}]) == ["pattern"]


@pytest.mark.parametrize(
    "dialect", ["http://json-schema.org/draft-07/schema#", DIALECT, "http://x/"]
)
def test_a_dialect_is_known_or_passed_over_and_never_fetched(dialect: str) -> None:
    schema = {"$schema": dialect, "type": "object", "properties": {"x": {"const": 1}}}

    [error] = Checker(check_schema(schema)).errors({"x": 2}, 5)

    assert error.validator == "const"


def test_what_breaks_the_check_is_a_fault_of_the_schema() -> None:
    """Such as numbers that are too large for the library."""
    assert told(tool(x={"multipleOf": 0.1}), 10**400) == ["schema"]


UNKNOWN = {f"k{number}": 1 for number in range(5_000)}
EMPTY = {f"k{number}": {} for number in range(2_500)}
NESTED: Any = functools.reduce(lambda within, _: [within], range(90), 1)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"allOf": [{"uniqueItems": True}] * 1_900}, ["a" * 60_000, "b" * 60_000]),
        ({"allOf": [{"uniqueItems": True}] * 1_900}, [{"a" * 60_000: 1}]),
        ({"items": {"const": NESTED}}, [copy.deepcopy(NESTED) for _ in range(300)]),
        ({"items": {"enum": [NESTED] * 10}}, [copy.deepcopy(NESTED) for _ in range(30)]),
        ({"items": UNKNOWN}, [1] * 100),
        ({"items": {"properties": EMPTY}}, [dict.fromkeys(EMPTY, 1)] * 10),
    ],
)
def test_what_takes_long_beside_the_keywords_counts_too(schema: Any, value: Any) -> None:
    """The characters and values that are compared, and names and schemas that say nothing."""
    assert told(tool(x=schema), value) == ["schema"]


def test_data_of_a_schema_is_compared_as_it_is() -> None:
    made = tool(x={"const": {"$schema": DIALECT, "$id": 1}}, y={"enum": [{"$schema": "a"}]})

    assert made.faults({"x": {"$schema": DIALECT, "$id": 1}, "y": {"$schema": "a"}}) == []
    assert told(made, {"$id": 1}) == ["const"]


def test_properties_that_are_called_like_keywords_cost_nothing_more() -> None:
    schema = {
        "properties": {"x": {"items": {"$ref": "#/$defs/one"}}},
        "$defs": {"one": {"type": "integer"}, "two": {"properties": {"$id": {}, "$anchor": {}}}},
        "examples": [{"x": number} for number in range(100)],
    }
    assert Checker(schema).errors({"x": [1] * 500}, 1) == []
