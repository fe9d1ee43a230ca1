"""Another plan for a run in a notebook: its models are asked on the wire of each provider."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from graph.workbench import Workbench, open_workbench
from tests.support.models.llm_runs import answer, models
from tests.support.models.mock_llm import PROVIDERS, MockLlm, mock_llm
from tools.registry import ToolError, tool


@pytest.fixture(scope="module")
def mock() -> Iterator[MockLlm]:
    with mock_llm() as started:
        yield started


@tool(effects=False)
async def refuse(what: str) -> str:
    """Fail for good, before anything is done."""
    raise ToolError(f"{what}: no", retryable=False)


@tool()
async def break_off(what: str) -> str:
    """Fail for good, perhaps after something is done."""
    raise ToolError(f"{what}: broken off", retryable=False)


@pytest.fixture(params=PROVIDERS)
async def bench(
    request: pytest.FixtureRequest, database_url: str, mock: MockLlm
) -> AsyncIterator[Workbench]:
    settings = {
        "database_url": database_url,
        "models": models((request.param, mock.base_of(request.param))),
        "model_timeout": 600,
        "mend": 0,
        "answer": "never",
    }
    async with await open_workbench(refuse, break_off, **settings) as opened:
        yield opened


def plans(tool: str, given: dict[str, Any], then: str = "done") -> dict[str, Any]:
    """A model's answer: one step, and what is to follow it."""
    step = {"reasoning": "asked", "tool": tool, "input": given}
    return answer(json.dumps({"steps": [step], "then": then, "answer": None}))


def sums(expression: str, then: str = "done") -> dict[str, Any]:
    return plans("calculator", {"expression": expression}, then)


GIVES_UP = answer(json.dumps({"steps": [], "then": "refuse", "answer": "there is no way"}))


def reasons(run: Any) -> list[str]:
    """Why each round of a run was planned."""
    return [entry["why"] for entry in run.record["plan"]["rounds"]]


async def test_a_failed_run_is_planned_anew(bench: Workbench, mock: MockLlm) -> None:
    mock.script(
        sums("40 + 2", "look"), plans("refuse", {"what": "it"}), sums("{step_1_output} * 2")
    )
    run = await bench.run("go on")
    assert (run.status, run.record["error"]["type"]) == ("failed", "step_failed")

    again = await run.retry(replan=True)

    assert again is run
    assert (run.status, run.output) == ("completed", 84)
    assert reasons(run) == ["first", "look", "replan"]
    assert [(row["step"], row["status"]) for row in run.log] == [(1, "ok"), (2, "error"), (3, "ok")]
    assert [row["tool"] for row in run.plan] == ["calculator", "refuse", "calculator"]
    assert len(mock.requests) == 3


async def test_an_incomplete_run_is_planned_anew(bench: Workbench, mock: MockLlm) -> None:
    mock.script(sums("40 + 2", "look"), GIVES_UP, sums("{step_1_output} * 2"))
    run = await bench.run("go on")
    assert (run.status, run.record["error"]["type"]) == ("failed", "incomplete")

    await run.retry(replan=True)

    assert (run.status, run.output) == ("completed", 84)
    assert reasons(run) == ["first", "look", "replan"]
    assert [(row["step"], row["status"]) for row in run.log] == [(1, "ok"), (2, "ok")]
    assert len(mock.requests) == 3


async def test_a_new_plan_waits_where_the_dropped_step_may_have_acted(
    bench: Workbench, mock: MockLlm
) -> None:
    mock.script(plans("break_off", {"what": "it"}), sums("6 * 7"))
    run = await bench.run("go on")
    assert run.status == "failed"

    await run.retry(replan=True)
    assert run.status == "waiting"
    assert [(row["step"], row["tool"]) for row in run.plan][-1] == (2, "calculator")
    await run.approve()

    assert (run.status, run.output) == ("completed", 42)
    assert reasons(run) == ["first", "replan"]
