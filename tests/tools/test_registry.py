"""What makes a function a tool, what is refused, and the example tools of `examples/flaky.py`."""

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from langgraph.store.memory import InMemoryStore
from pydantic import Field, ValidationError

from examples.flaky import block, fail_times, sleep
from tests.support.own_tools.unfit_tools import UNFIT
from tests.support.wording.messages import wording
from tools.loading import BUILTIN, undeclared
from tools.registry import InvalidTool, ToolCall, ToolError, make_tool, make_tools, tool


def greet(name: str, call: ToolCall, times: Annotated[int, Field(ge=1)] = 1) -> str:
    """Greet someone."""
    return f"{call.owner}: " + f"hello {name} " * times


async def pause() -> None:
    """Do nothing, later."""


def test_a_plain_function_becomes_a_cautiously_declared_tool() -> None:
    made = make_tool(greet)

    assert (made.name, made.description) == ("greet", "Greet someone.")
    assert (made.effects, made.idempotent, made.phrases) == (True, False, ())
    assert (made.func, made.coroutine) == (greet, None)


def test_a_coroutine_function_becomes_an_async_tool() -> None:
    made = make_tool(pause)

    assert (made.func, made.coroutine) == (None, pause)


def test_declarations_are_kept_and_the_function_stays_callable() -> None:
    @tool("say.hello", effects=False, idempotent=True, phrases=["greet {name}"], noun="greeting")
    def hello(name: str) -> str:
        """Say hello."""
        return f"hello {name}"

    made = make_tool(hello)

    assert (made.name, made.effects, made.idempotent) == ("say.hello", False, True)
    assert (made.phrases, made.noun) == (("greet {name}",), "greeting")
    assert (made.timeout, made.attempts) == (None, None)
    assert hello("Bob") == "hello Bob"


def test_a_tool_may_have_a_time_and_attempts_of_its_own() -> None:
    @tool(timeout=90, attempts=5)
    def slow() -> None:
        """Take its time."""

    made = make_tool(slow)

    assert (made.timeout, made.attempts) == (90.0, 5)


@pytest.mark.parametrize(
    "declared",
    [
        {"timeout": 0},
        {"timeout": -1.0},
        {"timeout": math.inf},
        {"timeout": math.nan},
        {"timeout": 90_000},
        {"timeout": True},
        {"timeout": "5"},
        {"attempts": 0},
        {"attempts": 101},
        {"attempts": 2.0},
        {"attempts": True},
    ],
)
def test_times_and_attempts_that_cannot_be_are_refused(declared: dict[str, Any]) -> None:
    @tool(**declared)
    def slow() -> None:
        """Take its time."""

    with pytest.raises(InvalidTool, match=f"{next(iter(declared))} of tool 'slow'"):
        make_tool(slow)


def test_the_call_is_hidden_from_the_schema() -> None:
    made = make_tool(greet)

    assert made.call_parameter == "call"
    assert set(made.schema_model.model_json_schema()["properties"]) == {"name", "times"}


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"name": None},
        {"name": "Bob", "times": 0},
        {"name": "Bob", "times": "many"},
        {"name": "Bob", "unknown": 1},
        {"name": "Bob", "call": {}},
    ],
)
def test_an_input_that_does_not_fit_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        make_tool(greet).schema_model.model_validate(value)


def test_a_number_may_stand_where_text_is_asked() -> None:
    model = make_tool(greet).schema_model.model_validate({"name": 336})

    assert model.model_dump() == {"name": "336", "times": 1}


@pytest.mark.parametrize(
    ("number", "text"),
    [(36.0, "36"), (36.5, "36.5"), (1e-07, "0.0000001"), (-0.0, "0"), (1e16, "1" + "0" * 16)],
)
def test_a_number_that_stands_for_text_is_written_out(number: float, text: str) -> None:
    model = make_tool(greet).schema_model.model_validate({"name": number})

    assert model.model_dump()["name"] == text


@pytest.mark.parametrize("function", UNFIT.values(), ids=UNFIT)
def test_a_function_that_planners_cannot_use_is_refused_with_its_reason(
    function: Callable[..., Any],
) -> None:
    with pytest.raises(InvalidTool):
        make_tool(function)


def test_a_decorator_without_parentheses_is_told_so() -> None:
    with pytest.raises(InvalidTool) as error:
        tool(greet)  # type: ignore[arg-type]

    assert str(error.value) == wording("tools.decorator")


def test_a_phrase_that_is_not_in_a_list_is_told_so() -> None:
    """Its letters would be phrases."""
    with pytest.raises(InvalidTool) as error:
        tool(phrases="greet {name}")

    assert str(error.value) == wording("tools.phrases")


def test_tools_keep_their_order_and_share_no_name() -> None:
    assert list(make_tools([pause, greet])) == ["pause", "greet"]
    with pytest.raises(InvalidTool, match="'greet'"):
        make_tools([greet, pause, greet])


def test_every_tool_of_the_package_has_a_schema_and_a_description() -> None:
    for made in make_tools(BUILTIN).values():
        assert made.description
        assert made.schema_model.model_json_schema()["additionalProperties"] is False


def test_a_choice_is_part_of_the_schema() -> None:
    def paint(colour: Literal["red", "blue"]) -> str:
        """Paint."""
        return colour

    schema = make_tool(paint).schema_model.model_json_schema()

    assert schema["properties"]["colour"]["enum"] == ["red", "blue"]


async def test_the_failing_example_counts_the_attempts_of_each_step() -> None:
    store = InMemoryStore()
    for step_key in ("step-1", "step-2"):
        call = ToolCall("me", step_key, store)
        for attempt in (1, 2):
            with pytest.raises(ToolError, match=f"attempt {attempt} fails") as error:
                await fail_times(2, call)
            assert error.value.retryable

        assert await fail_times(2, call) == {"attempts": 3}


async def test_the_waiting_examples_say_how_long_they_waited() -> None:
    assert await sleep(0.0) == {"slept": 0.0}
    assert block(0.0) == {"blocked": 0.0}


def test_the_examples_bring_phrases_and_refuse_impossible_times() -> None:
    tools = make_tools([fail_times, sleep, block])

    assert tools["sleep"].phrases == ("sleep {seconds} seconds", "sleep for {seconds} seconds")
    assert [made.idempotent for made in tools.values()] == [True, True, False]
    for value in ({"seconds": -1}, {"seconds": 1e9}, {"seconds": math.nan}):
        with pytest.raises(ValidationError):
            tools["sleep"].schema_model.model_validate(value)


def test_the_former_word_for_idempotent_is_read_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match="idempotent"):
        declare = tool("again", repeatable=True)

    @declare
    def again() -> None:
        """Do it again."""

    made = make_tool(again)
    assert made.idempotent
    with pytest.warns(DeprecationWarning, match="idempotent"):
        assert made.repeatable


def test_a_tool_that_says_nothing_of_its_effects_is_named() -> None:
    def plain() -> None:
        """Say nothing."""

    @tool("said", effects=True)
    def said() -> None:
        """Say that it has effects."""

    @tool("asked", in_doubt="fail")
    def asked() -> None:
        """Say what becomes of it in doubt."""

    @tool("named")
    def named() -> None:
        """Say a name only."""

    assert undeclared(make_tools([plain, said, asked, named])) == ["plain", "named"]


def test_what_becomes_of_a_step_in_doubt_is_one_of_three_words() -> None:
    with pytest.raises(InvalidTool):
        tool("odd", in_doubt="guess")  # type: ignore[arg-type]


def test_what_a_function_takes_is_read_once_however_often_it_is_made_a_tool() -> None:
    def add(first: int, second: int = 0) -> int:
        """Add two numbers."""
        return first + second

    one, other = make_tool(add), make_tool(add)
    assert one is not other
    assert one.schema_model is other.schema_model
