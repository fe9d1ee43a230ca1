"""A tool author's own phrases are understood without a change to the planner."""

from collections.abc import Callable
from typing import Any

import pytest

from nodes.fallback_plan import overlaps
from nodes.patterns.planner import InvalidPhrase, PatternPlanner
from tests.support.wording.tools.tools import PHRASES
from tools.loading import BUILTIN
from tools.registry import ToolCall, make_tools, tool


@tool("lamp.dim", phrases=["dim the {room} lamp to {level} percent", "lights out"])
def dim(room: str = "hall", level: int = 0) -> str:
    """Dim a lamp."""
    return f"{room} {level}"


@tool(phrases=["sleep {seconds} seconds", "sleep for {seconds} seconds"])
def sleep(seconds: float) -> None:
    """Sleep."""


@tool(phrases=["tell {who} that {message}"])
def tell(who: str, message: str) -> None:
    """Send a message."""


PLANNER = PatternPlanner(make_tools([*BUILTIN, dim, sleep, tell]))


def plan(prompt: str) -> list[tuple[str, dict[str, Any]]]:
    reading = PLANNER.read(prompt)
    assert reading.unparsed == []
    return [(step["tool"], step["input"]) for step in reading.steps]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Dim the Kitchen lamp to 40 percent", {"room": "Kitchen", "level": 40}),
        ("could you dim the red lamp to forty percent please", {"room": "red", "level": 40}),
        ("lights out!", {}),
    ],
)
def test_a_phrase_fills_its_parameters(prompt: str, expected: dict[str, Any]) -> None:
    assert plan(prompt) == [("lamp.dim", expected)]


def test_a_number_parameter_takes_numbers_only() -> None:
    assert plan("sleep 0.5 seconds") == [("sleep", {"seconds": 0.5})]
    assert plan("sleep two seconds") == [("sleep", {"seconds": 2.0})]
    assert PLANNER.read("sleep some seconds").steps == []
    assert PLANNER.read("dim the red lamp to 1.5 percent").steps == []


def test_own_phrases_stand_beside_the_built_in_ones() -> None:
    assert [
        name for name, _ in plan("what is 1 + 1, then sleep for 2 seconds, then lights out")
    ] == [
        "calculator",
        "sleep",
        "lamp.dim",
    ]
    assert [name for name, _ in plan("add milk to my list and lights out")] == [
        "todo_store.add",
        "lamp.dim",
    ]


def test_a_result_is_handed_to_a_phrase() -> None:
    assert plan("what is 1 + 1, then sleep that seconds")[1] == (
        "sleep",
        {"seconds": "{step_1_output}"},
    )


def test_words_keep_their_case_and_their_braces() -> None:
    assert plan("tell Bob that {x} is Big") == [("tell", {"who": "Bob", "message": "{{x}} is Big"})]


def test_an_own_phrase_wins_over_a_built_in_one() -> None:
    @tool("note", phrases=["add {text} to my list"])
    def note(text: str) -> None:
        """Note."""

    planner = PatternPlanner(make_tools([*BUILTIN, note]))
    assert planner.read("add tea to my list").steps[0]["tool"] == "note"


def test_an_own_phrase_is_among_the_examples() -> None:
    examples = PatternPlanner(make_tools([sleep])).read("sing").examples
    assert "sleep for 3 seconds" in examples


def _takes(*, phrases: list[str]) -> Callable[..., None]:
    @tool("odd", phrases=phrases)
    def odd(a: str, call: ToolCall, b: str = "") -> None:
        """Odd."""

    return odd


@pytest.mark.parametrize("phrase", PHRASES.values(), ids=PHRASES)
def test_a_bad_phrase_is_an_error_at_construction(phrase: str) -> None:
    with pytest.raises(InvalidPhrase) as caught:
        PatternPlanner(make_tools([_takes(phrases=[phrase])]))
    assert repr(phrase) in str(caught.value)
    assert "'odd'" in str(caught.value)


def test_phrases_that_cannot_be_told_apart_are_an_error() -> None:
    with pytest.raises(InvalidPhrase, match=r"'sleep \{seconds\} seconds'"):
        PatternPlanner(make_tools([sleep, _takes(phrases=["Sleep {a} seconds"])]))


def test_the_most_specific_phrase_wins_whatever_stands_first() -> None:
    @tool("any", phrases=["send {text} to {who}"])
    def send(text: str, who: str) -> None:
        """Send."""

    @tool("note", phrases=["send a note to {who}"])
    def note(who: str) -> None:
        """Note."""

    for tools in ([send, note], [note, send]):
        steps = PatternPlanner(make_tools(tools)).read("send a note to Ida").steps
        assert [step["tool"] for step in steps] == ["note"]


@pytest.mark.parametrize("path", [".env", "../a.txt", "./a.txt", "-rf", "what?.txt", "..", "a.b/c"])
def test_what_a_parameter_takes_stays_to_the_letter(path: str) -> None:
    @tool("read_file", effects=False, phrases=["read file {path}"])
    def read_file(path: str) -> str:
        """Read."""
        return path

    [step] = PatternPlanner(make_tools([read_file])).read(f"please read file {path}").steps
    assert step["input"] == {"path": path}


def test_a_phrase_that_takes_sentences_from_the_built_in_ones_is_named() -> None:
    @tool("note", phrases=["add {text} to my list", "note that {text}"])
    def note(text: str) -> None:
        """Note."""

    [overlap] = overlaps(make_tools([*BUILTIN, note]))
    assert "'add {text} to my list'" in overlap
    assert overlap.endswith("from 'todo_store.add'")
    assert overlaps(make_tools([*BUILTIN, dim, sleep])) == []


def test_an_own_phrase_is_not_carried_out_when_it_is_asked_about() -> None:
    assert PLANNER.read("can I dim the red lamp to 40 percent?").steps == []
