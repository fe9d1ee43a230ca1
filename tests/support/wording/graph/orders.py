"""Why a run cannot be retried or forked in a way, and what the marks of such orders say."""

from collections.abc import Mapping, Sequence
from typing import Any

from graph.commands.retry import NotPlanned, RetryRejected, RetryRequest, command_of
from graph.commands.seeded import Edits, ForkRejected, seed_of
from graph.record.generations import retry_detail
from graph.runs.accept import ChoiceRejected, RunOptions
from graph.state import PlannedBy, RunState, Step
from graph.workbench import open_workbench
from tests.support.runs.run_states import attempted, finished, planned, queued
from tests.support.wording.messages import refusal
from tools.loading import BUILTIN
from tools.registry import make_tools
from tools.toolbox import ToolSnapshot

_TOOLS = make_tools(BUILTIN)

#: Asked of a run that stopped at the second of three steps; the third refers to both.
_RETRIES: Mapping[str, dict[str, Any]] = {
    "retry.from-step": {"from_step": 3},
    "retry.input": {"input": {"expression": []}},
    "retry.input.integer": {"input": {"expression": 2**64}},
    "retry.skip": {"skip": (1,)},
    "retry.skip.both": {"skip": (2,), "input": {"expression": "1"}},
    "retry.skip.referred": {"skip": (2,)},
    "retry.skip.all": {"from_step": 1, "skip": (1, 2, 3)},
    "retry.replan.input": {"replan": True, "input": {"expression": "1"}},
}

_FORKS: Mapping[str, dict[str, Any]] = {
    "fork.prompt": {"prompt": "  "},
    "fork.plan": {"steps": []},
    "fork.cursor": {"cursor": 3},
}


async def messages() -> dict[str, str]:
    """Of retries first, then of forks, then the details of marks."""
    state = _failed()
    told = {key: refusal(RetryRejected, _ordered, state, asked) for key, asked in _RETRIES.items()}
    told["retry.input.done"] = refusal(
        RetryRejected, _ordered, finished(), {"input": {"expression": "1"}}
    )
    told["retry.skip.none"] = refusal(RetryRejected, _ordered, finished(), {"skip": (1,)})
    told["retry.replan.models"] = refusal(
        RetryRejected, lambda: _ordered(state, {"replan": True}, models=False)
    )
    by = PlannedBy(source="caller", model=None, reason="", complexity=None)
    called: RunState = {**state, "planned_by": by}
    told["retry.replan.call"] = refusal(RetryRejected, _ordered, called, {"replan": True})
    told["retry.no-plan"] = refusal(NotPlanned, _ordered, queued(run_id="<run_id>"), {"skip": ()})
    for key, edits in _FORKS.items():
        told[key] = refusal(ForkRejected, _forked, state, edits)
    for key, options in _CHOICES.items():
        told[key] = refusal(ChoiceRejected, _chosen, options)
    told["choice.model.none"] = refusal(ChoiceRejected, _chosen, {"model": "<model>"}, ())
    return told | await _marks()


#: What no run can be given.
_CHOICES: Mapping[str, Mapping[str, Any]] = {
    "choice.model": {"model": "<other>"},
    "choice.tools": {"tools": ["<other>", "<another>"]},
    "choice.tools.away": {"tools": ["<server>.echo"]},
    "choice.tools.none": {"tools": []},
    "choice.instructions": {"instructions": "x" * 4_001},
    "choice.instructions.type": {"instructions": 1},
    "choice.instructions.character": {"instructions": "\0"},
    "choice.metadata.pairs": {"metadata": {str(number): "" for number in range(17)}},
    "choice.metadata.key": {"metadata": {"<key>": ""}},
    "choice.metadata.value": {"metadata": {"key": "x" * 201}},
    "choice.metadata.type": {"metadata": {"key": 1}},
    "choice.metadata.character": {"metadata": {"key": "\0"}},
}


def _chosen(options: Mapping[str, Any], models: Sequence[str] = ("<model>",)) -> None:
    given = RunOptions(**options)
    given.choice(models, ToolSnapshot({"<tool>": _TOOLS["calculator"]}, {"<server>": "<why>"}))
    given.checked_metadata()


async def _marks() -> dict[str, str]:
    """What is told of orders that were carried out, one after another."""
    async with await open_workbench() as bench:
        refused = await bench.run("sing a song")
        await refused.retry()
        run = await bench.run("2 + 2, then 1 / 0, then 3 / 0", mode="plan")
        await run.approve()
        await run.retry()
        await run.retry(skip=[2, 3])
        again = await bench.run("2 + 2, then 1 / 0", mode="plan")
        await again.approve()
        await again.retry(input={"expression": "1"})
        await again.reject()
        details = [mark["detail"] for mark in run.record["marks"] if mark["what"] == "retry"]
    assert again.record["error"] is not None
    anew = _failed()
    replan = command_of(anew, RetryRequest(replan=True), _TOOLS, by="<name>")
    then = command_of(anew, RetryRequest(from_step=2, replan=True), _TOOLS, by="<name>")
    return {
        "mark.anew": str(refused.record["marks"][-1]["detail"]),
        "mark.from": str(details[0]),
        "mark.skip": str(details[1]),
        "mark.input": str(again.record["marks"][1]["detail"]),
        "mark.replan": retry_detail(anew, replan),
        "mark.replan.then": retry_detail(anew, then),
        "rejected.later": again.record["error"]["message"],
    }


def _failed() -> RunState:
    state = attempted(planned(queued(), steps=3))
    expressions = ("1 + 1", "2 + 2", "{step_1_output} + {step_2_output}")
    state["plan"]["steps"] = [
        Step(
            step=number,
            tool="calculator",
            input={"expression": text},
            reasoning="",
            span=None,
        )
        for number, text in enumerate(expressions, start=1)
    ]
    return state


def _ordered(state: RunState, asked: dict[str, Any], *, models: bool = True) -> Any:
    return command_of(state, RetryRequest(**asked), _TOOLS, by="me", models=models)


def _forked(state: RunState, edits: dict[str, Any]) -> Any:
    return seed_of(
        state, Edits(**edits), _TOOLS, checkpoint_id="1", run_id="<run_id>", created_at=0.0
    )
