"""References: how an input names an earlier output, and how a person's braces stay braces."""

import json
import re
import tracemalloc
from decimal import Decimal
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.state import DEFAULT_LIMITS, RunState, Step
from nodes.contract.checks import escape
from nodes.contract.steps import (
    InvalidOutput,
    InvalidReference,
    Reference,
    has_reference,
    references,
    resolve,
    resolved,
    resolved_size,
)
from tests.support.wording.messages import wording

words = st.text() | st.text(alphabet="{}[]. _step_1_output")
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers()
values = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner) | st.dictionaries(words, inner),
    max_leaves=10,
)

OUTPUTS = {
    1: {"id": "a1", "text": "milk", "tags": [{"name": "food"}, {"name": "cold"}]},
    2: [10, [20, 30]],
    3: "plain",
    12: None,
}


@given(words)
def test_escaped_words_come_out_as_they_were(text: str) -> None:
    assert not has_reference(escape(text))
    assert resolve(escape(text), {}) == text


@given(words, words, words)
def test_a_reference_is_found_between_any_words(before: str, output: str, after: str) -> None:
    text = f"{escape(before)}{{step_1_output}}{escape(after)}"

    assert resolve(text, {1: output}) == before + output + after


@given(values)
def test_a_value_that_is_one_whole_reference_keeps_its_type(value: object) -> None:
    resolved = resolve({"it": "{step_1_output}"}, {1: value})["it"]

    assert resolved == value
    assert type(resolved) is type(value)


@given(values)
def test_what_came_out_of_a_step_is_never_read_as_a_reference(value: object) -> None:
    """An output may hold braces; they are data."""
    assert resolve("{step_1_output}", {1: value, 2: "wrong"}) == value


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("{step_1_output.text}", "milk"),
        ("{step_1_output.tags[1].name}", "cold"),
        ("{step_2_output[1][0]}", 20),
        ("{step_2_output[0]}", 10),
        ("{step_3_output}", "plain"),
        ("{step_12_output}", None),
    ],
)
def test_a_path_leads_into_an_output(reference: str, found: object) -> None:
    assert resolve(reference, OUTPUTS) == found


def test_references_are_found_however_deep_and_in_order() -> None:
    value = {"a": ["{step_2_output[0]}", {"b": "of {step_1_output.text}, {step_3_output}"}], "c": 1}

    assert list(references(value)) == [
        Reference("{step_2_output[0]}", 2, (0,)),
        Reference("{step_1_output.text}", 1, ("text",)),
        Reference("{step_3_output}", 3, ()),
    ]
    assert resolve(value, OUTPUTS) == {"a": [10, {"b": "of milk, plain"}], "c": 1}


@pytest.mark.parametrize(
    ("text", "resolved"),
    [
        ("{{step_1_output}}", "{step_1_output}"),
        ("{{{step_3_output}}}", "{plain}"),
        ("{{}}", "{}"),
        ("{{{{", "{{"),
        ("", ""),
    ],
)
def test_double_braces_are_mere_braces(text: str, resolved: str) -> None:
    assert resolve(text, OUTPUTS) == resolved


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "}",
        "{}",
        "a } b",
        "{step_1_output",
        "{ step_1_output }",
        "{step_0_output}",
        "{step_01_output}",
        "{step_-1_output}",
        "{step_1_output.}",
        "{step_1_output.a-b}",
        "{step_1_output[]}",
        "{step_1_output[-1]}",
        "{step_1_output[x]}",
        "{step_1_output text}",
        "{Step_1_output}",
        "{step_1_output}}",
        "{step_\N{ARABIC-INDIC DIGIT ONE}_output}",
        "{step_9999999_output}",
        "{previous}",
    ],
)
def test_what_is_no_reference_is_refused_with_the_right_form(text: str) -> None:
    with pytest.raises(InvalidReference) as refused:
        resolve({"field": ["fine", text]}, OUTPUTS)
    assert refused.value.reason == wording("references.malformed")
    with pytest.raises(InvalidReference):
        list(references(text))


@pytest.mark.parametrize(
    ("reference", "part", "step"),
    [
        ("{step_1_output.owner}", "'owner'", 1),
        ("{step_2_output[2]}", "2", 2),
        ("{step_1_output[0]}", "0", 1),
        ("{step_2_output.text}", "'text'", 2),
        ("{step_12_output.text}", "'text'", 12),
        ("{step_3_output.upper}", "'upper'", 3),
    ],
)
def test_a_reference_that_finds_nothing_says_what_it_looked_for(
    reference: str, part: str, step: int
) -> None:
    with pytest.raises(InvalidReference) as error:
        resolve(f"about {reference}", OUTPUTS)

    assert error.value.reference == reference
    assert error.value.reason == wording("references.part", part=part, step=step)
    assert str(error.value) == f"{reference} {error.value.reason}"


def test_a_reference_to_a_step_without_output_says_which_step_it_is() -> None:
    with pytest.raises(InvalidReference) as error:
        resolve("about {step_4_output}", OUTPUTS)

    assert error.value.reference == "{step_4_output}"
    assert error.value.reason == wording("references.step", step=4)


def test_a_place_in_a_text_is_no_letter_of_it() -> None:
    with pytest.raises(InvalidReference) as error:
        resolve("{step_3_output[0]}", OUTPUTS)

    assert error.value.reason == wording("references.part", part="0", step=3)


@given(numbers)
def test_a_number_within_words_is_written_out_in_full(number: float) -> None:
    """`1e-07` would read as words; the digits are all there and nothing but digits."""
    text = resolve("= {step_1_output} .", {1: number})

    assert re.fullmatch(r"= -?[0-9]+(\.[0-9]*[1-9])? \.", text)
    assert Decimal(text[2:-2]) == Decimal(repr(number))


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (36, "36"),
        (36.0, "36"),
        (36.5, "36.5"),
        (-0.0, "0"),
        (-2.0, "-2"),
        (1e-07, "0.0000001"),
        (1e21, "1000000000000000000000"),
        (0.1, "0.1"),
        ("0.3333333333333333333333333333", "0.3333333333333333333333333333"),
        ("3.3E+299", "3.3E+299"),
    ],
)
def test_a_result_stands_in_its_place_as_people_write_it(number: float | str, written: str) -> None:
    assert resolve("pay {step_1_output}, then rest", {1: number}) == f"pay {written}, then rest"
    assert resolve("{step_1_output}{step_1_output}", {1: number}) == written * 2


@pytest.mark.parametrize(
    "typed",
    [
        "pay {step_1_output}",
        "{step_1_output}",
        "{{step_1_output}}",
        "pay {{step_1_output}",
        "{step_1_output.text} {",
        "{}}{",
    ],
)
def test_what_a_person_has_typed_is_no_reference_beside_one(typed: str) -> None:
    text = f"{escape(typed)} {{step_1_output}} {escape(typed)}"

    assert [found.text for found in references(text)] == ["{step_1_output}"]
    assert resolve(text, {1: 36}) == f"{typed} 36 {typed}"


@given(values.filter(lambda value: not isinstance(value, str | float)))
def test_any_other_value_within_words_is_written_as_json(value: object) -> None:
    text = resolve("x{step_1_output}", {1: value})

    assert json.loads(text[1:]) == value


@given(st.dictionaries(words, st.just("{step_3_output}")))
def test_names_of_fields_are_left_as_they_are(value: dict[str, str]) -> None:
    assert resolve(value, OUTPUTS) == dict.fromkeys(value, "plain")


inputs = st.recursive(
    st.none()
    | numbers
    | st.lists(
        words.map(escape) | st.sampled_from(["{step_1_output}", "{step_2_output[1]}", '"', "\n"])
    ).map("".join),
    lambda inner: st.lists(inner) | st.dictionaries(words, inner),
    max_leaves=10,
)


@given(inputs, values)
def test_the_size_of_what_is_resolved_is_known_before_it_is_made(value: Any, output: Any) -> None:
    outputs = {1: output, 2: [0, "\u00e9\U0001f600\\"]}
    made = json.dumps(resolve(value, outputs), ensure_ascii=False)

    assert resolved_size(value, outputs) == len(made.encode(errors="replace"))


def test_a_large_output_that_is_named_often_is_refused_before_it_is_put_together() -> None:
    """A gigabyte of it; few words of a plan can ask for that."""
    done = {"step": 1, "status": "ok", "output": "x" * 250_000}
    state = cast("RunState", {"log": [done], "limits": DEFAULT_LIMITS})
    named = {"a": "{step_1_output}" * 4_000}
    step = Step(step=2, tool="t", input=named, reasoning="", span=None)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidOutput, match="the input has 1000000009 bytes"):
            resolved(state, step)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
