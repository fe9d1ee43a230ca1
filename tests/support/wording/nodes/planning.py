"""Why it was this planner, or none, and why a model was not asked."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, cast

from graph.commands.retry import RetryRequest
from graph.models.calls import Call, DailyBudget, DailyLimit
from graph.state import DEFAULT_LIMITS, Budget, Choice, RunState, new_run
from graph.storage.open import open_storage
from graph.storage.storage import Storage
from nodes.planning.answer import answer_form
from nodes.planning.model import BudgetExceeded, Completion, Cost
from nodes.planning.model_attempt import exceeded
from nodes.planning.prompt import instructions, of_caller, of_operator, of_others, repair
from nodes.planning.prompt import messages as asked
from tests.support.models.planning_runs import LIMITS, Planning
from tests.support.models.rounds import calculating, round_of_steps
from tests.support.models.scripted_models import (
    ScriptedModel,
    Turn,
    answer,
    calculation,
    misconfigured,
)
from tests.support.runs.live_runs import Gates, process, rested
from tests.support.wording.messages import masked
from tools.loading import BUILTIN
from tools.registry import make_tools

_EMPTY = answer('{"steps": []}')
_REFUSED = Completion("I cannot help with that.", "content_filter", refused=True)
_NAMED = Choice(model="<model>", instructions=None, tools=None)
_SONG = "sing me a song"

#: Budgets that a call of 101 tokens and 0.0051 USD does not fit into.
_BUDGETS: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "tokens": ({"tokens": 100}, {}),
    "tokens.unknown": ({"tokens": 100}, {"input_tokens": None, "output_tokens": None}),
    "usd": ({"usd": 0.005}, {}),
    "usd.unknown": ({"usd": 1.0}, {"usd": None}),
    "seconds": ({"seconds": 1.5}, {}),
}


async def messages() -> dict[str, str]:
    """Reasons of plans, then of their failures, then of budgets; what models are told."""
    async with open_storage("memory://") as storage:
        told = await _reasons(storage) | await _failures(storage)
        told |= await _later(storage)
        told |= _budgets()
        told |= await _of_the_day(storage)
    return told | _prompts()


async def _reasons(storage: Storage) -> dict[str, str]:
    async def reason(*models: ScriptedModel, choice: Choice | None = None) -> str:
        planned_by = (await Planning(storage, *models).run(choice=choice)).state["planned_by"]
        assert planned_by is not None
        return planned_by["reason"]

    return {
        "first": await reason(_model(calculation())),
        "named": await reason(_model(calculation()), choice=_NAMED),
        "after": await reason(
            _model(misconfigured("<reason>")), _model(calculation(), name="b/two")
        ),
        "empty": await reason(_model(_EMPTY)),
        "refused": await reason(_model(_REFUSED)),
        "none": await reason(_model(misconfigured("<reason>"))),
    }


async def _failures(storage: Storage) -> dict[str, str]:
    async def end(turn: Turn, prompt: str = "what is 2 + 2", **options: Any) -> Any:
        budget = options.pop("budget", {})
        planning = Planning(storage, _model(turn), **options)
        state = (await planning.run(prompt, **budget)).state
        assert state["error"] is not None
        assert state["planned_by"] is not None
        return state["error"]["message"], state["planned_by"]["reason"]

    none, by = await end(misconfigured("<reason>"), fallback="never")
    over, _ = await end(_EMPTY, budget={"tokens": 99, "on_exceeded": "fail"})
    return {
        "failed": none,
        "failed.planned-by": by,
        "failed.empty": (await end(_EMPTY, fallback="never"))[0],
        "failed.not-understood": (await end(_EMPTY, _SONG))[0],
        "budget": masked(over, reason="a call may take 100 tokens, 99 are left"),
    }


async def _later(storage: Storage) -> dict[str, str]:
    """How a run ends that has done something, and what a model is told after a round."""
    look, failing = calculating("2 + 3", "look"), calculating("1 / 0")

    async def end(*turns: Turn, **options: Any) -> str:
        state = (await Planning(storage, _model(*turns), **options).run()).state
        assert state["error"] is not None
        return state["error"]["message"]

    gives_up = round_of_steps(then="refuse", says="<words>")
    shown, mended = _model(look, round_of_steps()), _model(failing, gives_up)
    await Planning(storage, shown).run()
    told = {
        "incomplete.rounds": await end(look, look, limits={**LIMITS, "max_rounds": 2}),
        "incomplete.one-round": await end(look, limits={**LIMITS, "max_rounds": 1}),
        "incomplete.gave-up": await end(look, gives_up),
        "incomplete.models": await end(look, misconfigured("<reason>")),
        "not-mended": (await Planning(storage, mended).run()).state["error"]["message"],  # type: ignore[index]
    }
    told["look"] = shown.calls[1].messages[-1]["content"]
    told["replan"] = await _replanned()
    told["mend"] = mended.calls[1].messages[-1]["content"]
    return told


async def _replanned() -> str:
    """What a model is told of steps that were done, have failed, or were not done."""
    steps = [("pass", {"label": "a"}), ("fail", {"label": "b"}), ("pass", {"label": "c"})]
    gives_up = round_of_steps(then="refuse")
    model = _model(round_of_steps(*steps), gives_up)
    async with open_storage("memory://") as storage, process(storage, Gates(), model) as runs:
        run_id = (await runs.start("do it", mend=0))["run_id"]
        await rested(runs, run_id)
        await runs.retry(run_id, RetryRequest(replan=True), by="<name>", owner=None)
        await rested(runs, run_id)
    return model.calls[1].messages[-1]["content"]


def _model(*script: Turn, name: str = "<model>") -> ScriptedModel:
    return ScriptedModel(name, list(script))


def _budgets() -> dict[str, str]:
    told = {f"budget.{key}": _exceeded(*given) for key, given in _BUDGETS.items()}
    told["budget.tokens"] = masked(told["budget.tokens"], tokens=101, left=100)
    told["budget.usd"] = masked(told["budget.usd"], usd="0.005100", left="0.005000")
    told["budget.seconds"] = masked(told["budget.seconds"], seconds=1.5)
    return told


def _exceeded(budget: dict[str, Any], spent: dict[str, Any]) -> str:
    nothing = {"usd": None, "tokens": None, "seconds": None, "steps": None}
    given = cast("Budget", {**nothing, "on_exceeded": "pattern", **budget})
    state = new_run(
        "task", run_id="r", owner="o", limits=DEFAULT_LIMITS, created_at=0.0, budget=given
    )
    state["started_at"] = time.time() - 3600
    state = cast("RunState", {**state, "usage": {**state["usage"], **spent}})
    return str(exceeded(state, Cost(tokens=101, usd=0.0051)))


async def _of_the_day(storage: Storage) -> dict[str, str]:
    async def refused(cost: Cost, **limit: Any) -> str:
        return await _refusal(_budget(storage, **limit), cost)

    cost, until = Cost(tokens=100, usd=0.01), "1970-01-02T00:00:00Z"
    usd, tokens = await refused(cost, usd=0.009), await refused(cost, tokens=97)
    return {
        "day.usd": masked(usd, usd="0.010000", left="0.009000 of 0.009", until=until),
        "day.tokens": masked(tokens, tokens=100, left="97 of 97", until=until),
        "day.no-price": await refused(Cost(tokens=100, usd=None), usd=1.0),
        "day.aside": masked(await _beside_another(storage), until=until),
        "day.unpriced": masked(await _after_unpriced(storage), until=until),
    }


def _budget(storage: Storage, **limit: Any) -> DailyBudget:
    return DailyBudget(DailyLimit(**limit), storage.spending, lambda: 0.0)


def _call(number: int) -> Call:
    return Call(owner="alice", run_id="draft", key=f"0:{number}", model="<model>")


async def _refusal(budget: DailyBudget, cost: Cost) -> str:
    async def ask() -> Completion:
        raise AssertionError(cost)

    try:
        await budget.charge(_call(0), cost, ask)
    except BudgetExceeded as refusal:
        return refusal.reason
    raise AssertionError(cost)


async def _beside_another(storage: Storage) -> str:
    """While a call that is under way has set most of the budget aside."""
    budget, cost = _budget(storage, usd=0.015), Cost(tokens=100, usd=0.01)
    asked, ends = asyncio.Event(), asyncio.Event()

    async def ask() -> Completion:
        asked.set()
        await ends.wait()
        return answer("", usd=0.0)

    paying = asyncio.create_task(budget.charge(_call(1), cost, ask))
    await asked.wait()
    told = await _refusal(budget, cost)
    ends.set()
    await paying
    return told


async def _after_unpriced(storage: Storage) -> str:
    """After a call of the day whose price nobody knows."""
    unknown = Cost(tokens=100, usd=None)

    async def ask() -> Completion:
        return answer("", usd=None)

    await _budget(storage, tokens=1000).charge(_call(2), unknown, ask)
    return await _refusal(_budget(storage, usd=1.0), Cost(tokens=100, usd=0.01))


def _prompts() -> dict[str, str]:
    tools = make_tools(BUILTIN)
    system, user = asked("<request>", instructions(tools, answer_form(tools)))
    _, _, nothing, told = repair([system, user], "", ["<reason>", "<another>"])
    return {
        "prompt": str(system["content"]),
        "prompt.others": of_others(["<tool>", "<another>"]),
        "prompt.operator": of_operator("<text>"),
        "prompt.caller": of_caller("<text>"),
        "prompt.request": str(user["content"]),
        "prompt.repair": str(told["content"]),
        "prompt.no-answer": str(nothing["content"]),
    }
