"""docs/without_a_model.md tells the truth: each of its prompts is planned or refused as it says."""

import json
from typing import Any

import pytest

from benchmarks.planner.plans import Verdict, read_plans, short_form
from graph.state import Conversation
from nodes.patterns.planner import PatternPlanner
from tests.support import pages
from tools.loading import BUILTIN
from tools.registry import make_tools

PAGE = (pages.DOCS / "without_a_model.md").read_text()
PLANNER = PatternPlanner(make_tools(BUILTIN))


def examples(heading: str) -> list[tuple[str, str]]:
    """The prompts of the tables with this heading, as typed, with what stands beside them."""
    return [
        (prompt.strip("`").replace("⏎", "\n"), told.strip("`"))
        for prompt, told in pages.rows(PAGE, heading)
    ]


@pytest.mark.parametrize(("prompt", "plan"), examples("prompt"))
def test_each_prompt_is_planned_as_the_page_says(prompt: str, plan: str) -> None:
    steps = PLANNER.read(prompt).steps
    assert read_plans(plan).verdict(steps) == Verdict.RIGHT, short_form(steps)


def dialogues(heading: str) -> list[tuple[Any, str, str]]:
    """What the run before returned, the prompt then, and what stands beside them."""
    return [
        (json.loads(output.strip("`")), prompt.strip("`"), told.strip("`"))
        for output, prompt, told in pages.rows(PAGE, heading)
    ]


def after(output: Any) -> Conversation:
    """The conversation after a run that returned this, or failed."""
    tool = {int: "calculator", dict: "todo_store.add", list: "todo_store.list"}.get(type(output))
    return {
        "turns": [
            {
                "run_id": "r",
                "prompt": "p",
                "status": "completed" if tool else "failed",
                "text": "t",
                "source": "summary",
            }
        ],
        "left_out": 0,
        "last": {"run_id": "r", "tool": tool, "output": output} if tool else None,
    }


@pytest.mark.parametrize(("output", "prompt", "plan"), dialogues("the last run returned"))
def test_each_prompt_in_a_conversation_is_planned_as_the_page_says(
    output: Any, prompt: str, plan: str
) -> None:
    steps = PLANNER.read(prompt, after(output)).steps
    assert read_plans(plan).verdict(steps) == Verdict.RIGHT, short_form(steps)


@pytest.mark.parametrize(("output", "prompt", "words"), dialogues("it returned"))
def test_each_refusal_in_a_conversation_names_the_words_that_the_page_says(
    output: Any, prompt: str, words: str
) -> None:
    reading = PLANNER.read(prompt, after(output))
    assert reading.steps == []
    assert [part["text"] for part in reading.unparsed] == [words]


@pytest.mark.parametrize(("prompt", "words"), examples("refused prompt"))
def test_each_refusal_names_the_words_that_the_page_says(prompt: str, words: str) -> None:
    reading = PLANNER.read(prompt)
    assert reading.steps == []
    assert [part["text"] for part in reading.unparsed] == [words]


@pytest.mark.parametrize(("prompt", "plan"), examples("prompt, with this tool"))
def test_the_tool_of_the_page_is_asked_for_in_its_phrases(prompt: str, plan: str) -> None:
    [block] = pages.blocks(PAGE, "python")
    module: dict[str, Any] = {"__name__": "notes"}
    exec(block, module)
    planner = PatternPlanner(make_tools([*BUILTIN, module["read_note"]]))
    steps = planner.read(prompt).steps
    assert read_plans(plan).verdict(steps) == Verdict.RIGHT, short_form(steps)


def test_the_page_has_examples_of_each_kind() -> None:
    assert len(examples("prompt")) > 50
    assert len(dialogues("the last run returned")) == 11
    assert len(dialogues("it returned")) == 7
    assert len(examples("refused prompt")) > 5
    assert len(examples("prompt, with this tool")) > 1
