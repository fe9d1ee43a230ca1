"""What is planned for a prompt composed of known parts is their plan, or nothing."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings

from benchmarks.planner.plans import Verdict, read_plans, short_form
from nodes.patterns.planner import PatternPlanner
from tests.nodes.patterns.texts.composed import prompts
from tools.loading import BUILTIN
from tools.registry import make_tools

PLANNER = PatternPlanner(make_tools(BUILTIN))

#: Of the prompts that have a plan, the share that may be refused, as ten thousand tell it.
MOST_REFUSED = 0.05


def verdicts(examples: int) -> Counter[Verdict]:
    """On so many prompts, of which none may be planned as something else."""
    counts: Counter[Verdict] = Counter()

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(prompts)
    def check(prompt: tuple[str, str]) -> None:
        text, expected = prompt
        steps = PLANNER.read(text).steps
        verdict = read_plans(expected).verdict(steps)
        counts[verdict] += expected != "refused"
        assert verdict != Verdict.WRONG, f"{text!r} => {short_form(steps)}, not {expected}"

    check()
    return counts


def test_a_composed_prompt_is_planned_as_its_parts_or_refused() -> None:
    assert verdicts(100)[Verdict.RIGHT]


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_ten_thousand_composed_prompts_are_planned_as_their_parts_or_refused() -> None:
    counts = verdicts(10_000)
    assert counts[Verdict.REFUSED] <= MOST_REFUSED * counts.total(), counts
