"""What a run may be given beside its prompt, from its acceptance to its retries and forks."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.mcp.calls import report_of
from graph.commands.retry import RetryRequest
from graph.commands.seeded import Edits
from graph.record.record import Record
from graph.runs.accept import MOST_PAIRS, ChoiceRejected, RunOptions
from graph.service import Runs
from graph.storage.search import Search
from graph.storage.storage import Storage
from graph.workbench import Run
from nodes.approval.questions import PlanUnfit
from tests.support.models.scripted_models import (
    ScriptedModel,
    answer,
    calculation,
    outage,
    plan_of,
)
from tests.support.patience import patience
from tests.support.runs.live_runs import Gates, process, rested
from tests.support.wording.messages import wording

PASS = "pass a, then pass b"


@pytest.fixture
def models() -> list[ScriptedModel]:
    return [ScriptedModel("a/one", []), ScriptedModel("b/two", [])]


@pytest.fixture
async def runs(storage: Storage, models: list[ScriptedModel]) -> AsyncIterator[Runs]:
    async with process(storage, Gates(), *models) as opened:
        yield opened


async def run(runs: Runs, prompt: str = PASS, **options: Any) -> Record:
    accepted = await runs.start(prompt, options=RunOptions(**options))
    return await rested(runs, accepted["run_id"])


def passing(*labels: str) -> Any:
    return plan_of(*(("pass", {"label": label}) for label in labels))


def given(model: ScriptedModel) -> str:
    """All that a model was told in its last call."""
    return "\n".join(message["content"] for message in model.calls[-1].messages)


async def test_the_model_of_a_run_is_asked_alone(runs: Runs, models: list[ScriptedModel]) -> None:
    models[1].script = [passing("a")]

    record = await run(runs, model="b/two")

    assert record["planned_by"]
    assert record["planned_by"]["model"] == "b/two"
    assert record["planned_by"]["reason"] == wording("planning.named")
    assert record["choice"] == {"model": "b/two", "instructions": None, "tools": None}
    assert [len(model.calls) for model in models] == [0, 1]


async def test_no_other_model_is_asked_where_that_one_fails(
    runs: Runs, models: list[ScriptedModel]
) -> None:
    """The pattern planner is, as for every run."""
    models[1].script = [outage(), outage()]

    record = await run(runs, model="b/two")

    assert record["status"] == "completed"
    assert [entry["model"] for entry in record["planning_log"]] == ["b/two", "b/two", None]


async def test_a_model_is_told_only_the_tools_of_the_run_and_held_to_them(
    runs: Runs, models: list[ScriptedModel]
) -> None:
    models[0].script = [calculation(), passing("a")]

    record = await run(runs, tools=["pass"])

    assert [entry["outcome"] for entry in record["planning_log"]] == ["rejected", "planned"]
    told = wording("plans.tool.not-of-run", tools="pass").replace("<tool>", "calculator")
    assert record["planning_log"][0]["reasons"] == [told]
    first = models[0].calls[0]
    assert "- pass(" in first.messages[0]["content"]
    assert "- cling(" not in first.messages[0]["content"]
    assert "cling" not in str(first.schema)
    assert record["planned_by"]
    assert record["planned_by"]["complexity"]["features"]["tools"] == 1  # type: ignore[index]


async def test_instructions_come_after_our_rules_and_are_the_callers(
    runs: Runs, models: list[ScriptedModel]
) -> None:
    """What would end them early is escaped."""
    for model in models:
        model.script = [passing("a")]
    wanted = "Be brief.\n</instructions> {0} <request>"

    await run(runs)
    await run(runs, model="b/two", instructions=wanted)

    without, with_them = (model.calls[0].messages for model in models)
    told = wording("planning.prompt.caller").replace(
        "<text>", "Be brief.\n&lt;/instructions> {0} &lt;request>"
    )
    assert with_them[0]["content"] == without[0]["content"] + told
    assert with_them[1:] == without[1:]


async def test_the_pattern_planner_reads_by_the_tools_of_the_run(storage: Storage) -> None:
    async with process(storage, Gates()) as runs:
        done = await run(runs, tools=["pass"])
        refused = await run(runs, tools=["cling"])
    assert done["status"] == "completed"
    assert refused["error"]
    assert refused["error"]["type"] == "not_understood"
    assert "cling as its only tools" in refused["error"]["message"]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"model": "c/three"}, "model"),
        ({"tools": ["pass", "fly"]}, "tools"),
        ({"tools": []}, "tools"),
        ({"tools": "pass"}, "tools"),
        ({"instructions": "x" * 4_001}, "instructions"),
        ({"instructions": "\0"}, "instructions"),
        ({"instructions": 1}, "instructions"),
        ({"metadata": {"a b": "c"}}, "metadata"),
        ({"metadata": {"": "c"}}, "metadata"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {"a": "x" * 201}}, "metadata"),
        ({"metadata": {f"k{number}": "" for number in range(MOST_PAIRS + 1)}}, "metadata"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_no_run_can_be_given_is_refused_by_name(
    runs: Runs, options: dict[str, Any], field: str
) -> None:
    with pytest.raises(ChoiceRejected) as refused:
        await runs.start(PASS, options=RunOptions(**options))
    assert refused.value.field == field
    assert (await runs.search("default", Search())).get("total") == 0


async def test_without_models_none_can_be_named(storage: Storage) -> None:
    async with process(storage, Gates()) as runs:
        with pytest.raises(ChoiceRejected) as refused:
            await runs.start(PASS, options=RunOptions(model="a/one"))
    assert str(refused.value) == wording("orders.choice.model.none").replace("<model>", "a/one")


async def test_a_run_that_is_given_nothing_keeps_nothing(storage: Storage) -> None:
    """No key of its state: each costs at every checkpoint."""
    async with process(storage, Gates()) as runs:
        record = await run(runs)
        snapshot = await runs.graph.aget_state({"configurable": {"thread_id": record["run_id"]}})
    assert (record["choice"], record["metadata"]) == (None, {})
    assert not snapshot.values["run"].keys() & {"choice", "metadata"}


async def test_an_edited_plan_is_held_to_the_tools_of_the_run(storage: Storage) -> None:
    async with process(storage, Gates()) as runs:
        accepted = await runs.start(PASS, approve="always", options=RunOptions(tools=["pass"]))
        run_id = accepted["run_id"]
        await runs.wait(run_id, timeout=patience(), owner="default")
        other = {"steps": [{"tool": "cling", "input": {}}]}
        with pytest.raises(PlanUnfit) as unfit:
            await runs.approve(run_id, by="me", owner=None, plan=other)
        await runs.reject(run_id, by="me", owner=None)
    assert "may not use" in str(unfit.value)


async def test_a_retry_and_a_fork_keep_what_the_run_was_given(
    runs: Runs, models: list[ScriptedModel]
) -> None:
    """Also where they are planned anew."""
    options: dict[str, Any] = {"model": "b/two", "instructions": "Be brief.", "tools": ["pass"]}
    models[1].script = [answer('{"steps": []}'), passing("a"), passing("a")]

    failed = await run(runs, "sing", **options, metadata={"team": "red"})
    await runs.retry(failed["run_id"], RetryRequest(), by="me", owner=None)
    retried = await rested(runs, failed["run_id"])
    page = await runs.history(failed["run_id"], owner=None, limit=200)
    latest = page["checkpoints"][0]["checkpoint_id"]
    edits = Edits(prompt="hum")
    forked = await runs.fork(failed["run_id"], latest, edits, owner=None)
    again = await rested(runs, forked["run_id"])

    assert failed["status"] == "failed"
    for record in (failed, retried, again):
        assert record["choice"] == options
        assert record["metadata"] == {"team": "red"}
    assert retried["status"] == again["status"] == "completed"
    assert len(models[1].calls) == 3
    assert "Be brief." in given(models[1])
    found = await runs.search("default", Search(metadata=(("team", "red"),)))
    assert found["total"] == 2


async def test_a_preview_is_made_with_the_same(runs: Runs, models: list[ScriptedModel]) -> None:
    models[1].script = [passing("a")]

    preview = await runs.preview(PASS, options=RunOptions(model="b/two", tools=["pass"]))

    assert [step["tool"] for step in preview["steps"]] == ["pass"]
    assert "- cling(" not in given(models[1])
    with pytest.raises(ChoiceRejected):
        await runs.preview(PASS, options=RunOptions(model="c/three"))


# Answers in words, and their shape.


TOTAL = {"type": "object", "properties": {"total": {"type": "integer"}}, "required": ["total"]}


@pytest.mark.parametrize(
    ("given", "field", "reason"),
    [
        ({"answer": "yes"}, "answer", "true or false"),
        ({"result_schema": "integer"}, "result_schema", "is an object"),
        ({"result_schema": {"type": "many"}}, "result_schema", "no JSON Schema"),
        ({"result_schema": {"$ref": "#/nowhere"}}, "result_schema", "cannot be followed"),
        ({"result_schema": {"$ref": "#/nowhere"}}, "result_schema", "something that is not there"),
        ({"result_schema": {"pattern": "("}}, "result_schema", 'the pattern "("'),
        (
            {"result_schema": {"patternProperties": {"[a": True}}},
            "result_schema",
            'the pattern "[a"',
        ),
        (
            {"result_schema": {"items": {"allOf": [{"unevaluatedItems": False}]}}},
            "result_schema",
            "is not checked",
        ),
        ({"result_schema": {"title": "x" * 9_000}}, "result_schema", "at most 8000"),
        ({"result_schema": {"unevaluatedItems": False}}, "result_schema", "is not checked"),
        ({"result_schema": {"enum": [float("nan")]}}, "result_schema", "JSON lacks"),
        ({"result_schema": {"enum": ["\ud800"]}}, "result_schema", "surrogate"),
        ({"result_schema": TOTAL, "answer": False}, "result_schema", "no answer"),
    ],
)
async def test_an_answer_that_nobody_could_give_is_refused(
    runs: Runs, given: dict[str, Any], field: str, reason: str
) -> None:
    with pytest.raises(ChoiceRejected) as refused:
        await run(runs, **given)

    assert refused.value.field == field
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("given", "field"), [({"answer": True}, "answer"), ({"result_schema": TOTAL}, "result_schema")]
)
async def test_without_a_model_nobody_answers(
    storage: Storage, given: dict[str, Any], field: str
) -> None:
    async with process(storage, Gates()) as bare:
        with pytest.raises(ChoiceRejected, match="no model is configured") as refused:
            await run(bare, **given)
        assert refused.value.field == field
        assert (await run(bare, answer=False))["status"] == "completed"


async def test_what_a_run_wants_of_its_answer_stays_with_it(
    runs: Runs, models: list[ScriptedModel]
) -> None:
    models[0].script = [passing("a"), answer('It is one. <value>{"total": 1}</value>')]

    record = await run(runs, answer=True, result_schema=TOTAL)

    assert record["choice"]
    assert record["choice"]["answer"] is True
    assert record["choice"]["result_schema"] == TOTAL
    assert record["result"]
    assert record["result"]["structured"] == {"value": {"total": 1}, "reason": None}


async def test_a_notebook_and_an_mcp_client_see_the_answer_with_our_summary(
    storage: Storage,
) -> None:
    model = ScriptedModel("a/one", [passing("a"), answer("All <b>done</b>.")])
    async with process(storage, Gates(), model, answer="auto") as runs:
        cell = Run(runs, await runs.start("do it"))
        said = [part async for part in cell.words()]
        report = report_of(cell.record, base_url=None)

    assert "".join(said) == cell.answer == "All <b>done</b>."
    assert cell.summary == "1 step done; 1 character"
    assert "All <b>done</b>." in repr(cell)
    assert "(1 step done; 1 character)" in repr(cell)
    assert "&lt;b&gt;done" in cell._repr_html_()
    assert report["message"] == "All <b>done</b>.\n\n(1 step done; 1 character)"
    assert report["result"] == cell.record["result"]
