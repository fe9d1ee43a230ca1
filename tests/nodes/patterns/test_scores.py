"""The planner's floor: our own prompts, each with the plan or the refusal that is right."""

from collections import Counter

import pytest

from benchmarks.planner.own_prompts import (
    MOST_REFUSED,
    Judged,
    faults,
    judged,
    own_prompts,
    share_refused,
)
from benchmarks.planner.plans import Verdict, short_form
from nodes.patterns.planner import PatternPlanner
from tools.loading import BUILTIN
from tools.registry import make_tools

PROMPTS = own_prompts()
FAULTS = faults()
PLANNER = PatternPlanner(make_tools(BUILTIN))


@pytest.fixture(scope="module")
def results() -> list[Judged]:
    return judged(PROMPTS)


@pytest.fixture(scope="module")
def of_faults() -> list[Judged]:
    return judged(FAULTS)


def wrong(results: list[Judged], kind: str) -> list[str]:
    of_kind = [each for each in results if each.prompt.kind == kind]
    return [str(each) for each in of_kind if each.verdict == Verdict.WRONG]


@pytest.mark.parametrize("kind", list(dict.fromkeys(prompt.kind for prompt in PROMPTS)))
def test_no_plan_is_made_that_nobody_asked_for(results: list[Judged], kind: str) -> None:
    assert wrong(results, kind) == []


@pytest.mark.parametrize("kind", list(dict.fromkeys(prompt.kind for prompt in FAULTS)))
def test_no_silent_fault_comes_back(of_faults: list[Judged], kind: str) -> None:
    assert wrong(of_faults, kind) == []


def test_few_prompts_are_refused_that_have_a_plan(
    results: list[Judged], of_faults: list[Judged]
) -> None:
    refused = [str(each) for each in [*results, *of_faults] if each.verdict == Verdict.REFUSED]
    assert share_refused([*results, *of_faults]) <= MOST_REFUSED, refused


def test_the_prompts_are_there() -> None:
    """Floors under no prompts would be met by anything."""
    assert len(PROMPTS) >= 500
    assert len(FAULTS) >= 150
    twice = Counter(prompt.text for prompt in PROMPTS + FAULTS)
    assert [text for text, times in twice.items() if times > 1] == []


def test_a_fault_is_never_a_plan_that_is_right() -> None:
    for prompt in FAULTS:
        assert prompt.fault is not None, prompt.text
        assert not set(map(str, prompt.fault.plans)) & set(map(str, prompt.expected.plans))


@pytest.mark.parametrize(
    "template",
    [
        "{} and add milk to my list",
        "{}; what is 2 + 2",
        "show my list, then {}",
        "show my list\n{}",
        "{}\nadd todo milk",
        "yo {} real quick would ya",
        "so um {}, i forgot",
        "{} and bung milk on my to do list",
        "{}, oh and nah take haircut off my list",
        "yo what is 5 plus 3, {}",
    ],
)
def test_no_request_that_is_out_of_reach_hides_beside_one_of_ours(template: str) -> None:
    out_of_reach = [
        prompt.text
        for prompt in PROMPTS
        if prompt.kind == "out of reach" and prompt.told == "refused"
    ]
    assert len(out_of_reach) >= 100
    plans = {text: short_form(PLANNER.read(template.format(text)).steps) for text in out_of_reach}
    assert {text: made for text, made in plans.items() if made != "refused"} == {}
