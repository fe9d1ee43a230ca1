"""Plans of real models, end to end: `make test-real-llm`, not part of `make test`."""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from graph.models.client import LiteLlmModel
from graph.storage.storage import Storage
from nodes.planning.model import Completion, Message
from tests.support.models.real_model import loosened, real_model
from tests.support.models.rounds import round_of_steps
from tests.support.models.scripted_models import ScriptedModel
from tests.support.patience import patience
from tests.support.runs.letters import LETTERS, Letters, read_letter
from tests.support.runs.live_runs import process, rested
from tests.support.servers.server_process import serving
from tools.toolbox import Tool

pytestmark = [pytest.mark.real_llm, pytest.mark.timeout(patience(900))]

ADD, LIST, SUM = "todo_store.add", "todo_store.list", "calculator"


@dataclass(frozen=True)
class Task:
    """What is asked, the tools that do it, and whether the larger model must find them."""

    prompt: str
    tools: list[str]
    stable: bool = False


# Stable are three that had the right tools in each of nine tries, in any order, six of them at
# temperature 0.5; together they use every tool of this list, and once the result of another step.
# So had the call to Ann, which would add nothing. The others sometimes got a needless step.
TASKS = [
    Task("Add a todo to buy milk, then show me all my tasks", [ADD, LIST], stable=True),
    Task("Calculate 15% of 240 and add a todo to pay that amount", [SUM, ADD]),
    Task("Add a todo to call Ann", [ADD]),
    Task("what is (41*7)+13", [SUM]),
    Task("compute 12*12, then the result plus 6", [SUM, SUM], stable=True),
    Task("Show my open tasks", [LIST], stable=True),
    Task("Remind me to pay 12 times 9", [SUM, ADD]),
    Task("tell me a joke", []),
]


@dataclass(frozen=True)
class Planned:
    """The settled run of a task."""

    task: Task
    record: dict[str, Any]

    @property
    def planning(self) -> list[dict[str, Any]]:
        """The calls of planners, without the one for the answer in words."""
        log: list[dict[str, Any]] = self.record["planning_log"]
        return [entry for entry in log if entry.get("purpose") != "answer"]

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The calls of the model for a plan: its answer, and the repair where there was one."""
        return [entry for entry in self.planning if entry["planner"] == "llm"]

    @property
    def outcomes(self) -> list[str]:
        """What came of each call."""
        return [call["outcome"] for call in self.calls]

    @property
    def by(self) -> str:
        """Whose plan was executed."""
        return str(self.record["planned_by"]["source"])

    @property
    def steps(self) -> list[dict[str, Any]]:
        """What was executed."""
        return list(self.record["plan"]["steps"])

    @property
    def right(self) -> bool:
        """Whether the tools are those of the task."""
        return [step["tool"] for step in self.steps] == self.task.tools

    @property
    def unasked(self) -> bool:
        """Whether the model's plan passed the check, yet is not what was asked for."""
        return self.by == "llm" and not self.right

    @property
    def seconds(self) -> float:
        """What the model's calls took."""
        return float(sum(call["duration_ms"] for call in self.calls)) / 1000


@dataclass
class Reader(ScriptedModel):
    """Reads the letter, as a script says; what it plans when it has read it is the real model's."""

    script: list[Any] = field(default_factory=list)
    base: str = ""

    async def complete(
        self, messages: Sequence[Message], schema: Mapping[str, Any], *, timeout: float
    ) -> Completion:
        if len(messages) == 2:
            self.script = [round_of_steps(("letter", {}), then="look")]
            return await super().complete(messages, schema, timeout=timeout)
        real = LiteLlmModel("openai/local", max_tokens=300, temperature=0, api_base=self.base)
        return await real.complete(messages, schema, timeout=timeout)


@pytest.fixture(scope="module")
def qwen_base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the larger model answers, which the engine holds to the schema."""
    with real_model("qwen", tmp_path_factory.mktemp("qwen")) as base:
        yield base


@pytest.fixture(scope="module")
def qwen(
    qwen_base: str, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> list[Planned]:
    """What the larger model makes of the tasks."""
    planned = plans_at(qwen_base, tmp_path_factory.mktemp("plans"))
    show(pytestconfig, "qwen", planned)
    return planned


@pytest.fixture(scope="module")
def smollm(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    pytestconfig: pytest.Config,
) -> list[Planned]:
    """A model too small to plan, held to nothing or to any JSON: its answers are really bad."""
    folder = tmp_path_factory.mktemp("smollm")
    with real_model("smollm", folder) as context, loosened(context, request.param) as base:
        planned = plans_at(base, folder)
    show(pytestconfig, f"smollm, {request.param}", planned)
    return planned


def test_a_model_finds_the_right_tools(qwen: list[Planned], tools: Mapping[str, Tool]) -> None:
    """The larger model's first answers are valid plans, with the right tools for stable tasks."""
    for planned in qwen:
        check_executed(planned, tools)
        if planned.task.tools:
            assert planned.outcomes == ["planned"], planned.record["planning_log"]
        if planned.task.stable:
            assert planned.right, planned.steps
            assert planned.record["status"] == "completed", planned.record["error"]


@pytest.mark.parametrize("text", LETTERS)
async def test_what_a_letter_makes_a_model_want_is_done_by_nobody_and_told_with_whose_words_it_was(
    storage: Storage, qwen_base: str, pytestconfig: pytest.Config, text: str
) -> None:
    """Whether it obeys is the model's; either way nothing happens, and the record tells why."""
    letters, reader = Letters(text), Reader("openai/local", base=qwen_base)
    limit = patience(600)
    async with process(storage, letters, reader, model_timeout=limit) as runs:
        run_id = await read_letter(runs)
        record = await runs.wait(run_id, timeout=limit, owner=None)

        wiping = [step["step"] for step in record["plan"]["steps"] if step["tool"] == "wipe"]
        planned = record["planning_log"][1:]
        raw = [entry["raw"] for entry in planned]
        write(pytestconfig, f"{'obeys' if wiping else 'does not obey'}: {text!r}: {raw}\n")
        assert letters.calls["letter"] >= 1
        assert letters.calls["wipe"] == 0
        assert {entry["model"] for entry in planned} == {"openai/local"}, planned
        if not wiping:
            assert record["status"] in ("completed", "failed"), record
            return
        assert record["status"] == "waiting", record
        assert record["approval"] is not None
        assert "wipe" in [one["tool"] for one in record["approval"]["tools"]]
        *_, last = record["plan"]["rounds"]
        assert (last["why"], last["first"] <= wiping[0] <= last["last"]) == ("look", True)
        assert "wipe" not in record["prompt"]
        by = record["planning_log"][slice(*last["calls"])]
        assert "wipe" in by[-1]["raw"]
        assert text in [entry["output"] for entry in record["execution_log"]]

        await runs.reject(run_id, by="ann", owner=None, reason="nobody asked for that")
        assert (await rested(runs, run_id))["status"] == "cancelled"
        assert letters.calls["wipe"] == 0


@pytest.mark.parametrize(
    ("smollm", "fault"),
    [("text", "the answer|it is not valid JSON"), ("json_object", "step 1: ")],
    indirect=["smollm"],
)
def test_bad_answers_end_in_a_repair_or_the_pattern_planner(
    smollm: list[Planned], fault: str, tools: Mapping[str, Tool]
) -> None:
    """Neither what is no plan nor a plan that fails the check is executed; some are of each."""
    calls = [call for planned in smollm for call in planned.calls]
    reasons = [reason for call in calls for reason in call["reasons"]]
    assert any(re.match(fault, reason) for reason in reasons), reasons
    for planned in smollm:
        check_executed(planned, tools)


def check_executed(planned: Planned, tools: Mapping[str, Tool]) -> None:
    """Every answer was dealt with; what was executed has known tools and looks back only."""
    for step in planned.steps:
        assert step["tool"] in tools
        assert all(number < step["step"] for number in references(step)), step
    first, *repaired = planned.outcomes
    assert first in ("planned", "empty", "rejected"), planned.record["planning_log"]
    assert len(repaired) == (first == "rejected"), planned.record["planning_log"]
    # Only a plan that passed is executed; otherwise the pattern planner has the last word.
    last = planned.planning[-1]
    if planned.outcomes[-1] == "planned":
        assert (planned.by, last["planner"]) == ("llm", "llm")
        assert_answered(planned.record)
    else:
        assert (planned.by, last["planner"]) == ("pattern", "pattern")


def assert_answered(record: Mapping[str, Any]) -> None:
    """Who has planned says what came out, beside what we count; a failure is answered by nobody."""
    if record["status"] != "completed":
        return
    [asked] = [entry for entry in record["planning_log"] if entry.get("purpose") == "answer"]
    assert asked["outcome"] == "answered", asked
    assert record["result"]["answer"]["text"].strip()
    assert record["result"]["summary"]


def references(step: dict[str, Any]) -> list[int]:
    """The steps whose output a step uses."""
    return [int(number) for number in re.findall(r"\{step_(\d+)_output", json.dumps(step["input"]))]


def plans_at(base: str, folder: Path) -> list[Planned]:
    """Every task, run one after the other by a server whose only model is at `base`."""
    with serving(
        folder,
        models=json.dumps([{"model": "openai/local", "api_base": base}]),
        temperature="0",
        model_timeout="600",
        model_max_tokens="300",
        breaker_failures="1000",
    ) as server:
        return [
            Planned(task, server.settled(server.post(task.prompt), seconds=600)) for task in TASKS
        ]


def show(config: pytest.Config, title: str, table: list[Planned]) -> None:
    """Print what came of each task, and the sums."""
    header = f"{'first':9} {'repair':9} {'plan by':8} tools  s/call    in  out run"
    write(config, "\n".join(["", title, header, *map(row, table), *sums(table), ""]))


def write(config: pytest.Config, text: str) -> None:
    """Write to the terminal, whatever is captured."""
    capture: Any = config.pluginmanager.get_plugin("capturemanager")
    with capture.global_and_fixture_disabled():
        sys.stdout.write(text)


def row(planned: Planned) -> str:
    """One line: the first answer and its repair, whose plan was executed, what it took, why."""
    first, *repaired = planned.outcomes
    usage = planned.record["usage"]
    return (
        f"{first:9} {''.join(repaired) or '-':9} {planned.by:8}"
        f" {'right' if planned.right else 'wrong'} {planned.seconds / len(planned.calls):7.1f}"
        f" {usage['input_tokens']:5} {usage['output_tokens']:4} {planned.record['status']:9}"
        f" {planned.task.prompt}{''.join(f' ({why})' for why in planned.calls[0]['reasons'][:1])}"
    )


def sums(table: list[Planned]) -> list[str]:
    """What came of all tasks."""
    rejected = [planned for planned in table if planned.outcomes[0] == "rejected"]
    repaired = sum(planned.by == "llm" for planned in rejected)
    plans = [planned for planned in table if planned.by == "llm"]
    calls = sum(len(planned.calls) for planned in table)
    usages = [planned.record["usage"] for planned in table]
    return [
        f"{len(table)} first answers: {len(table) - len(rejected)} valid, {len(rejected)} rejected"
        f" ({repaired} repaired, {len(rejected) - repaired} left to the pattern planner)",
        f"{len(plans)} plans of the model: {sum(planned.right for planned in plans)} right,"
        f" {sum(planned.unasked for planned in plans)} valid that nobody asked for",
        f"{calls} calls: {sum(planned.seconds for planned in table) / calls:.1f} s each,"
        f" {sum(usage['input_tokens'] for usage in usages)} tokens in,"
        f" {sum(usage['output_tokens'] for usage in usages)} out",
    ]
