"""Plans of real models, end to end: `make test-real-llm`, not part of `make test`."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.llm_runs import run
from tests.real_model import real_model
from tests.server_process import ServerProcess, serving

pytestmark = [pytest.mark.real_llm, pytest.mark.timeout(900)]

ADD, LIST, SUM = "todo_store.add", "todo_store.list", "calculator"

#: Tasks, the tools that do them, and whether the larger model is known to find them every time.
TASKS = [
    ("Add a todo to buy milk, then show me all my tasks", [ADD, LIST], True),
    ("Calculate 15% of 240 and add a todo to pay that amount", [SUM, ADD], False),
    ("Add a todo to call Ann", [ADD], False),
    ("what is (41*7)+13", [SUM], False),
    ("compute 12*12, then the result plus 6", [SUM, SUM], True),
    ("Show my open tasks", [LIST], True),
    ("Remind me to pay 12 times 9", [SUM, ADD], False),
    ("tell me a joke", [], False),
]


@pytest.fixture(scope="module", params=["qwen", "smollm"])
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server(model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp(model)
    with real_model(model, folder) as base:
        configured = json.dumps([{"model": f"openai/{model}", "api_base": base}])
        with serving(
            folder,
            models=configured,
            temperature="0",
            model_timeout="120",
            model_max_tokens="300",
            breaker_failures="1000",
        ) as started:
            yield started
    for file in folder.glob("*.gguf"):
        file.unlink()


def by_model(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The calls of models."""
    return [entry for entry in record["planning_log"] if entry["planner"] == "llm"]


def references(step: dict[str, Any]) -> list[int]:
    """The steps whose output a step uses."""
    return [int(number) for number in re.findall(r"\{step_(\d+)_output", json.dumps(step["input"]))]


def test_plans_are_valid_or_replaced(
    server: ServerProcess,
    model: str,
    pytestconfig: pytest.Config,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever a model answers: what is executed has known tools and looks back only.

    The larger model's first answers are valid, with the right tools for the stable tasks.
    """
    known = {tool["name"] for tool in server.client.get("/tools").json()["tools"]}
    records = [(task, run(server, task[0])) for task in TASKS]
    report: Any = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    with capsys.disabled():
        report.write_line(f"\n{model:8} {'first':9} {'planner':8} tools      s    in  out")
        for (prompt, tools, _), record in records:
            report.write_line(f"{row(record, tools)} {prompt}")

    for (prompt, tools, stable), record in records:
        for step in record["plan"]["steps"]:
            assert step["tool"] in known
            assert all(number < step["step"] for number in references(step))
        outcomes = [entry["outcome"] for entry in by_model(record)]
        assert "failed" not in outcomes, record["planning_log"]
        # An unfit answer ends in its repair or in the pattern planner, never in a run.
        if outcomes[0] == "rejected":
            assert len(record["planning_log"]) > 1
        if record["planned_by"]["source"] == "llm":
            assert outcomes[-1] == "planned"
        if model == "qwen" and stable:
            assert outcomes == ["planned"], prompt
            assert [step["tool"] for step in record["plan"]["steps"]] == tools, prompt
            assert record["status"] == "completed", record["error"]


def row(record: dict[str, Any], tools: list[str]) -> str:
    """One line: how the first answer was, who planned, the right tools, seconds and tokens."""
    calls = by_model(record)
    right = [step["tool"] for step in record["plan"]["steps"]] == tools
    seconds = sum(call["duration_ms"] for call in calls) / 1000
    usage = record["usage"]
    return (
        f"{'':8} {calls[0]['outcome']:9} {record['planned_by']['source']:8}"
        f" {'right' if right else 'wrong':6} {seconds:6.1f}"
        f" {usage['input_tokens']:5} {usage['output_tokens']:4} {record['status']:9}"
    )
