"""Reading an answer to the letter: a whole plan, or the exact reasons why it is none."""

import json
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from graph.state import DEFAULT_LIMITS, Limits, Step
from nodes.planning.answer import AnswerRejected, read_answer
from nodes.planning.model import Completion
from tests.support.models.scripted_models import answer
from tests.support.wording.messages import wording
from tests.support.wording.nodes.answers import ADD, ANSWERS, with_step
from tools.loading import BUILTIN
from tools.registry import make_tools


class Part(BaseModel):
    name: str
    size: float = 1.0


class Other(BaseModel):
    title: str
    note: str = ""


def assemble(
    parts: list[Part],
    limit: int | None = 5,
    speed: float = 2.0,
    main: Part | Other | None = None,
) -> int:
    """Assemble parts."""
    return len(parts)


TOOLS = make_tools([*BUILTIN, assemble])
DEEP = '{"steps": ' + "[" * 5_000 + "]" * 5_000 + "}"


def read(text: str, **limits: Any) -> list[Step]:
    return read_answer(answer(text), TOOLS, cast("Limits", {**DEFAULT_LIMITS, **limits})).steps


def reasons(completion: Completion | str, **limits: Any) -> list[str]:
    """Why an answer is rejected."""
    whole = answer(completion) if isinstance(completion, str) else completion
    with pytest.raises(AnswerRejected) as caught:
        read_answer(whole, TOOLS, cast("Limits", {**DEFAULT_LIMITS, **limits}))
    return caught.value.reasons


def assembling(**value: Any) -> dict[str, Any]:
    """What is kept of an input that a model gave."""
    (step,) = read(with_step(tool="assemble", input=value))
    return step["input"]


@pytest.mark.parametrize(
    "text",
    [
        ADD,
        f"\n {ADD}\n",
        f"```json\n{ADD}\n```",
        f"```\n{ADD}\n```\n",
        f"```JSON\n{ADD}\n```",
        f"``` json {ADD}```",
        f"\ufeff{ADD}",
        f"Here is the plan:\n\n{ADD}",
        f"Here is the plan:\n```json\n{ADD}\n```",
        f"<think>Add {{two}} to it.</think>\n{ADD}",
        f"<Thought>\n</Thought>```json\n{ADD}```",
        f'They want {{"steps": []}}, or so.\n</think>\n\n{ADD}',
        f"<thinking>one</thinking><reasoning>two</reasoning> So: {ADD}",
        json.dumps(json.loads(ADD), indent=2),
    ],
)
def test_a_whole_answer_is_the_plan(text: str) -> None:
    """Whatever a model puts around it where it is told not to."""
    assert read(text) == [
        {
            "step": 1,
            "tool": "calculator",
            "input": {"expression": "2 + 2"},
            "reasoning": "add",
            "span": None,
        }
    ]


@pytest.mark.parametrize(
    "text",
    [
        f"<think>Perhaps {ADD}",
        f"<think>one</think> <think>Perhaps {ADD}",
        f"{ADD}\nNo, better {ADD}",
        f"Either {ADD} or {ADD}",
        f"```json\n{ADD}\n``` or ```json\n{ADD}\n```",
        f"{ADD} That is the plan.",
    ],
)
def test_what_may_be_a_draft_is_no_plan(text: str) -> None:
    assert len(reasons(text)) == 1


@pytest.mark.parametrize("reason", ["stop", "tool_calls", "end_turn", None])
def test_a_whole_answer_has_one_of_these_ends(reason: str | None) -> None:
    assert read_answer(Completion(ADD, reason), TOOLS, DEFAULT_LIMITS).steps


@pytest.mark.parametrize("reason", ["length", "content_filter", "error", ""])
def test_a_cut_answer_is_no_plan_even_where_it_can_be_read(reason: str) -> None:
    """What is left of it may be a shorter plan, and nobody would notice."""
    assert reasons(Completion(ADD, reason)) == [wording("answers.cut", end=reason)]


def test_no_steps_say_that_no_tool_fits() -> None:
    assert read('{"steps": []}') == []


@pytest.mark.parametrize("text", ANSWERS.values(), ids=ANSWERS)
def test_anything_else_is_rejected_with_the_reason(text: str) -> None:
    assert len(reasons(text)) == 1


def test_a_wrong_step_does_not_hide_the_faults_of_the_next() -> None:
    two = {"steps": [{"tool": "fly", "input": {}}, {"tool": "calculator", "input": {}}]}

    assert [reason[:7] for reason in reasons(json.dumps(two))] == ["step 1:", "step 2:"]


def test_a_forward_reference_is_rejected_a_backward_one_is_not() -> None:
    def steps(first: str, second: str) -> str:
        given = [{"tool": "calculator", "input": {"expression": text}} for text in (first, second)]
        return json.dumps({"steps": given})

    assert len(read(steps("1", "{step_1_output} + 1"))) == 2
    (reason,) = reasons(steps("{step_2_output}", "1"))
    assert "{step_2_output}" in reason


def test_more_steps_than_allowed_are_rejected() -> None:
    three = json.dumps({"steps": json.loads(ADD)["steps"] * 3})

    assert len(read(three, max_steps=3)) == 3
    assert reasons(three, max_steps=2) == [wording("plans.steps", steps=3, most=2)]


def test_nesting_beyond_any_plan_is_a_reason_not_a_crash() -> None:
    """Where the parser gives up, and where it does not but a checkpoint would."""
    assert len(reasons(DEEP)) == 1

    nested: Any = 1
    for _ in range(150):
        nested = [nested]
    assert reasons(with_step(input={"expression": nested})) == [wording("answers.deep")]


def test_null_for_what_may_be_left_out_is_left_out() -> None:
    (step,) = read(with_step(tool="todo_store.list", input={"status": None}))
    assert step["input"] == {}
    assert assembling(parts=[], speed=None) == {"parts": []}


def test_null_is_left_out_inside_lists_and_unions_too() -> None:
    assert assembling(
        parts=[{"name": "a", "size": None}, {"name": "b", "size": 2.0}],
        main={"title": "t", "note": None},
    ) == {"parts": [{"name": "a"}, {"name": "b", "size": 2.0}], "main": {"title": "t"}}


def test_null_is_kept_where_the_tool_takes_it() -> None:
    """It may mean something else than the default."""
    assert assembling(parts=[], limit=None, main=None) == {
        "parts": [],
        "limit": None,
        "main": None,
    }


def test_null_for_what_is_required_is_a_missing_value() -> None:
    assert reasons(with_step(input={"expression": None})) == [wording("answers.input.missing")]


def test_the_compact_form_is_held_to_the_same_schema() -> None:
    def compact(text: str) -> str:
        return json.dumps({"steps": [{"reasoning": "", "tool": "calculator", "input_json": text}]})

    assert read(compact('{"expression": "1"}'))[0]["input"] == {"expression": "1"}
    for text in ("1 + 1", "[1]", '{"a": 1, "a": 2}', '{"expression": NaN}', "{}"):
        (reason,) = reasons(compact(text))
        assert reason.startswith("step 1: ")


def test_long_reasoning_is_cut_not_rejected() -> None:
    (step,) = read(with_step(reasoning="because " * 100))

    assert len(step["reasoning"]) == 200


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["steps", "tool", "input", "input_json"]), inner)
    ),
)


@given(st.text() | JSON.map(json.dumps))
def test_whatever_comes_is_a_plan_or_is_rejected(text: str) -> None:
    """Nothing else is ever raised."""
    try:
        steps = read(text)
    except AnswerRejected:
        return
    assert all(step["tool"] in TOOLS for step in steps)


HALF = '"\\ud83d"'  # of a surrogate pair


@pytest.mark.parametrize("word", ['"calculator"', '"2 + 2"', '"expression"', '"steps"'])
def test_half_a_character_is_rejected(word: str) -> None:
    """No checkpoint could hold it."""
    assert reasons(ADD.replace(word, HALF))


def test_half_a_character_in_the_reasoning_is_replaced() -> None:
    (step,) = read(ADD.replace('"add"', HALF))

    assert step["reasoning"] == "?"
