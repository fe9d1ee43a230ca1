"""Planning is linear: the work for any prompt is bounded per character, whatever it says.

Work is counted, not timed: every line of Python that runs, which no busy machine can change.
What C code does in one such line is bounded by the tokens being disjoint pieces of the prompt.
"""

import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodes.patterns.grammar.words import read_words
from nodes.patterns.planner import PatternPlanner
from tests.support.examples import examples
from tools.loading import BUILTIN
from tools.registry import make_tools

LIMIT = 20_000  # characters of a prompt
LINES_PER_CHARACTER = 1_500  # the worst that was found takes 1,280, returns counted
LINES_ANYHOW = 20_000

PLANNER = PatternPlanner(make_tools(BUILTIN))

#: Pieces that make readers begin, look ahead, nest and join, and fail late.
PIECES = [
    "and ", ", ", "then ", "; ", "please ", "and please ", "can you ", ". ", "\n", '"', "'", "(",
    ")", "-", "5 ", "five ", "hundred ", "and five ", "+ ", "times ", "what is ", "sum of ",
    "the sum of 5 and ", "half of ", "10% of ", "add ", "add tea ", "to my list ", "to do list ",
    "list ", "my ", "list of things to do ", "task ", "remove ", "mark ", "as done ", "is ",
    "on my list and ", "it ", "todo: ", "add 3 tasks: ", "add 3 tasks: \n", "\n- ",
    "change ", "to ", "rename ", "x ", "{",
    "1,", "1.", "what is 2 + 2 and then ", "show my list and ", "remind me to ", "“",
    "\N{RIGHT SINGLE QUOTATION MARK}", "İ", "٣",
]  # fmt: skip


def lines_run(prompt: str) -> int:
    """How many lines of Python run while `prompt` is read."""
    count = 0

    def called(frame: FrameType, event: str, argument: Any) -> Any:
        return run

    def run(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += 1  # returns are among them
        return run

    before = sys.gettrace()
    sys.settrace(called)
    try:
        PLANNER.read(prompt)
    finally:
        sys.settrace(before)
    return count


def assert_linear(piece: str, size: int) -> None:
    """Bounded per character; a prompt four times as long takes nothing like 16 times as much."""
    times = size // len(piece) + 1
    prompt = piece * times
    PLANNER.read(piece)  # what its tables make on first use is bounded by the vocabulary
    whole = lines_run(prompt)
    assert whole <= LINES_ANYHOW + LINES_PER_CHARACTER * len(prompt)
    assert whole <= LINES_ANYHOW + 7 * lines_run(piece * (times // 4))


@pytest.mark.parametrize("size", [LIMIT // 8, pytest.param(LIMIT, marks=pytest.mark.slow)])
@pytest.mark.parametrize("piece", PIECES)
def test_work_on_a_repeated_piece_is_bounded_per_character(piece: str, size: int) -> None:
    assert_linear(piece, size)


@settings(deadline=None, max_examples=examples(40), suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=6),
    st.integers(1_000, examples(LIMIT)),  # all lengths with all examples
)
def test_work_on_repeated_mixtures_is_bounded_per_character(mixture: list[str], size: int) -> None:
    assert_linear("".join(mixture), size)


#: Mixtures whose work once grew with their square.
MIXTURES = [
    "add 3 tasks: \nwhat is 5 + 7 and then ",  # each sum was a new look for the end of the list
    "add 2 todos: \ntea, bread and show my list and ",
    "add 4 chores: \nas done \nwhat is 9 - 5 and then remind me to:\n",
    "\n! \nmy task:\n, ",  # what follows a list was sought from the first clause on
]


@pytest.mark.parametrize("size", [LIMIT // 8, pytest.param(LIMIT, marks=pytest.mark.slow)])
@pytest.mark.parametrize("mixture", MIXTURES)
def test_work_on_a_mixture_of_lists_is_bounded_per_character(mixture: str, size: int) -> None:
    assert_linear(mixture, size)


@pytest.mark.parametrize("size", [LIMIT // 8, pytest.param(LIMIT, marks=pytest.mark.slow)])
def test_work_on_headings_before_a_line_that_is_no_item_is_bounded(size: int) -> None:
    """No list of theirs can be read, as "it" may be the sum: each tried all of the items anew."""
    before, heading, after = "what is 5 + 7\n", "add these tasks:\n", "give it to Ann"
    times = size // len(heading)
    whole = lines_run(f"{before}{heading * times}{after}")
    assert whole <= LINES_ANYHOW + 7 * lines_run(f"{before}{heading * (times // 4)}{after}")


def test_a_pile_of_marks_is_one_word() -> None:
    """Each of them alone would be a sign to every reader."""
    marks = "\u0301\u0323\u0489" * (LIMIT // 3)
    assert read_words(f"add \u00e9{marks} tea").words == ["add", "\u00e9", marks, "tea"]
    assert lines_run(f"add a{marks}") <= LINES_ANYHOW


@settings(deadline=None, max_examples=examples(200))
@given(st.one_of(st.text(max_size=300), st.lists(st.sampled_from(PIECES), max_size=40)))
def test_any_text_is_read_and_every_span_lies_in_it(text: str | list[str]) -> None:
    prompt = text if isinstance(text, str) else "".join(text)
    reading = PLANNER.read(prompt)
    assert bool(reading.steps) != bool(reading.unparsed)
    for part in [*reading.steps, *reading.unparsed]:
        span = part["span"]
        assert span is not None
        assert 0 <= span[0] <= span[1] <= len(prompt)
    for refused in reading.unparsed:
        assert refused["text"] == prompt[slice(*refused["span"])]
