"""Words that refer back: what they mean after a run of the same thread, and what they cannot."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.planner.plans import Verdict, read_plans, short_form
from graph.state import Conversation, Status
from nodes.patterns.planner import PatternPlanner
from tests.support.wording.messages import wording
from tools.loading import BUILTIN
from tools.registry import make_tools, tool
from tools.toolbox import Tool

DIALOGUES = Path(__file__).parent / "texts" / "dialogues.txt"


def todo(name: str, text: str) -> dict[str, Any]:
    return {"id": f"id of {name}", "text": text, "completed": False, "created_at": "2026"}


MILK = todo("milk", "buy {fresh} milk")
THREE = [todo("tea", "buy tea"), todo("rice", "cook rice"), todo("soap", "buy soap")]
#: By the names that the dialogues use: the tool of the last step, and its output.
RETURNED: Mapping[str, tuple[str, Any]] = {
    "the number 42": ("calculator", 42),
    "the number -5": ("calculator", -5),
    "a third": ("calculator", "0.3333333333333333333333333333"),
    "the to-do": ("todo_store.add", MILK),
    "the completed to-do": ("todo_store.complete", MILK),
    "the deleted to-do": ("todo_store.delete", MILK),
    "a list of three": ("todo_store.list", THREE),
    "a list of two": ("todo_store.list", THREE[:2]),
    "a list of one": ("todo_store.list", THREE[:1]),
    "an empty list": ("todo_store.list", []),
    "two completed to-dos": ("todo_store.complete", THREE[:2]),
    "a yes": ("todo_store.list", True),
    "a text": ("say", "some {text}"),
    "two values": ("both", [3, 4]),
    "a record": ("weather", {"wind": 3, "rain": 1}),
    "a failure": ("", None),
}


def after(returned: str, *, status: Status | None = None) -> Conversation:
    """The conversation of a run whose thread's last run has returned this."""
    used, output = RETURNED[returned]
    ended: Status = status or ("failed" if output is None else "completed")
    return {
        "turns": [
            {"run_id": "r7", "prompt": "p", "status": ended, "text": "t", "source": "summary"}
        ],
        "left_out": 0,
        "last": None if output is None else {"run_id": "r7", "tool": used, "output": output},
    }


def dialogues() -> Iterator[tuple[str, str, str]]:
    """What was returned, what is said then, and what is expected."""
    returned = ""
    for line in DIALOGUES.read_text("utf-8").splitlines():
        if line.startswith("@ "):
            returned = line.removeprefix("@ ")
        elif line and not line.startswith("#"):
            prompt, _, expected = line.rpartition(" | ")
            yield returned, prompt.strip(), expected.strip()


ALL = list(dialogues())
SAID = {name: [told for returned, *told in ALL if returned == name] for name in RETURNED}


@pytest.fixture(scope="module")
def planner() -> PatternPlanner:
    return PatternPlanner(make_tools(BUILTIN))


def test_there_are_dialogues_after_everything_that_can_be_returned() -> None:
    assert {returned for returned, _, _ in ALL} == set(RETURNED)
    assert len(ALL) >= 200
    assert len({(returned, prompt) for returned, prompt, _ in ALL}) == len(ALL)


def check(planner: PatternPlanner, said: str, returned: str, expected: str) -> None:
    reading = planner.read(said, after(returned))
    plan, _, refusal = expected.partition(": ")
    if plan != "refused":
        assert reading.steps, (said, reading.unparsed, reading.reason)
        verdict = read_plans(expected).verdict(reading.steps)
        assert verdict == Verdict.RIGHT, (said, short_form(reading.steps))
        assert "step_0" not in str(reading.steps), said
        return
    assert reading.steps == [], said
    assert reading.unparsed, said
    words, _, needed = refusal.partition(", ")
    if not refusal:
        assert reading.reason is None, said
        return
    [unparsed] = reading.unparsed
    assert unparsed["text"].casefold() == words, said
    start, end = unparsed["span"]
    assert said[start:end] == unparsed["text"], said
    assert reading.reason is not None, said
    assert needed in reading.reason, said


@pytest.mark.parametrize("returned", RETURNED)
def test_what_is_said_after_a_run(planner: PatternPlanner, returned: str) -> None:
    for prompt, expected in SAID[returned]:
        for said in (prompt, prompt.capitalize(), f"{prompt}."):
            check(planner, said, returned, expected)


@pytest.mark.parametrize("returned", RETURNED)
def test_without_a_conversation_nothing_refers_to_it(
    planner: PatternPlanner, returned: str
) -> None:
    for prompt, _ in SAID[returned]:
        alone = planner.read(prompt)
        assert alone.reason is None, prompt
        assert "id of" not in str(alone.steps), prompt
        assert planner.read(prompt, {"turns": [], "left_out": 0, "last": None}) == alone, prompt


@pytest.mark.parametrize("returned", RETURNED)
def test_what_refers_to_nothing_said_before_means_the_same_in_a_conversation(
    planner: PatternPlanner, returned: str
) -> None:
    for prompt in (
        "add milk to my list",
        "add a todo to call Ann about the picture that she sent",
        "what is 12 * (3 + 4)",
        "what is 2 + 3, then multiply it by 10",
        "add a todo to buy tape and mark it as done",
        "show my open todos",
        "rename buy milk to buy bread",
        "clear my list",
        "is butter on my list?",
        "i have to call Bob, so add it to my list",
        "play some jazz",
    ):
        assert planner.read(prompt, after(returned)) == planner.read(prompt)


def test_a_step_says_which_value_it_takes_and_from_which_run(planner: PatternPlanner) -> None:
    def reasoning(returned: str, prompt: str) -> str:
        return planner.read(prompt, after(returned)).steps[0]["reasoning"]

    assert reasoning("the number 42", "double it").endswith("; takes 42 from run r7")
    assert reasoning("the to-do", "delete it").endswith(
        "; takes the to-do “buy {fresh} milk” from run r7"
    )
    assert reasoning("a list of three", "delete the last one").endswith(
        "; takes the to-do “buy soap” from run r7"
    )
    assert "run" not in reasoning("the number 42", "what is 3 plus 4")


def test_a_list_that_is_long_is_counted_in_the_reasoning(planner: PatternPlanner) -> None:
    conversation = after("a list of three")
    assert conversation["last"] is not None
    conversation["last"]["output"] = [todo(str(n), f"todo {n}") for n in range(9)]
    [step] = planner.read("delete them all", conversation).steps
    assert step["input"] == {"todo": [f"id of {n}" for n in range(9)]}
    assert step["reasoning"].endswith("; takes 9 to-dos from run r7")


def test_numbers_stand_in_a_calculation_as_people_write_them(planner: PatternPlanner) -> None:
    def expression(returned: str) -> Any:
        return planner.read("add 8 to it", after(returned)).steps[0]["input"]["expression"]

    assert expression("the number 42") == "42 + 8"
    assert expression("the number -5") == "(-5) + 8"


def test_braces_of_the_user_are_no_references(planner: PatternPlanner) -> None:
    reading = planner.read("rename it to {step_0_output} of it", after("the to-do"))
    assert reading.steps[0]["input"] == {
        "todo": "id of milk",
        "text": "{{step_0_output}} of it",
    }


def test_a_run_that_was_cancelled_or_returned_too_much_is_told_as_that(
    planner: PatternPlanner,
) -> None:
    cancelled = planner.read("double it", after("a failure", status="cancelled")).reason
    assert cancelled == wording("antecedent.cancelled")
    large = planner.read("double it", after("a failure", status="completed")).reason
    assert large == wording("antecedent.nothing")


@tool(phrases=["sleep {seconds} seconds"])
def nap(seconds: float) -> None:
    """Sleep."""


@tool(phrases=["say {words} aloud"])
def say(words: str) -> None:
    """Say it."""


def test_own_phrases_take_it_as_a_number_or_as_words() -> None:
    tools: Mapping[str, Tool] = make_tools([*BUILTIN, nap, say])
    planner = PatternPlanner(tools)

    def given(returned: str, prompt: str) -> Any:
        steps = planner.read(prompt, after(returned)).steps
        return steps[0]["input"] if steps else None

    assert given("the number 42", "sleep that seconds") == {"seconds": 42}
    assert given("the number 42", "say it aloud") == {"words": "42"}
    assert given("a text", "say that aloud") == {"words": "some {{text}}"}
    assert given("a text", "sleep that seconds") is None
