"""Runs of every kind, made to be exported and replayed: what each made is what its file has."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

from graph.commands.retry import RetryRequest
from graph.commands.seeded import Edits
from graph.runs.accept import RunOptions
from graph.service import Runs
from graph.state import RunState
from graph.storage.storage import Storage
from nodes.planning.model import Completion
from tests.support.models.rounds import calculating, passing, round_of_steps
from tests.support.models.scripted_models import (
    Broken,
    ScriptedModel,
    Turn,
    answer,
    misconfigured,
    outage,
)
from tests.support.patience import patience, until
from tests.support.runs.live_runs import AT_ONCE, LONG, Gates, in_backoff, process
from tools.loading import BUILTIN
from tools.registry import make_tools, tool
from tools.toolbox import Tool

#: What a person is told of a call that may have acted.
SEND = "send the letter, then 6 * 7"


class Shop(Gates):
    """Gates, the tools that come with the package, and one whose connection breaks."""

    @cached_property
    def tools(self) -> dict[str, Tool]:
        @tool("send", phrases=["send {what}"])
        async def send(what: str) -> str:
            """Send something, over a connection that breaks."""
            raise ConnectionError(f"{what}: the connection broke")

        made = make_tools([*BUILTIN, *self._gated(), *self._quick(), *self._stubborn(), send])
        return dict(made)


class Made:
    """Runs of a process, each let go as far as it goes."""

    def __init__(self, runs: Runs, shop: Shop) -> None:
        self.runs, self.shop = runs, shop

    async def rest(self, run_id: str) -> str:
        """Its id once it has ended, or waits."""
        await self.runs.wait(run_id, timeout=patience(), owner=None)
        return run_id

    async def run(self, prompt: str, **given: Any) -> str:
        return await self.rest((await self.runs.start(prompt, **given))["run_id"])

    async def retried(self, run_id: str, **asked: Any) -> str:
        await self.runs.retry(run_id, RetryRequest(**asked), by="ann", owner=None)
        return await self.rest(run_id)

    async def approved(self, run_id: str, plan: Any = None) -> str:
        await self.runs.approve(run_id, by="ann", owner=None, plan=plan)
        return await self.rest(run_id)

    async def resolved(self, run_id: str, said: Any, output: Any = None) -> str:
        await self.runs.resolve(run_id, said, output, by="ann", owner=None)
        return await self.rest(run_id)

    async def cancelled(self, run_id: str) -> str:
        await self.runs.cancel(run_id, by="ann", owner=None)
        return await self.rest(run_id)

    async def forked(self, run_id: str, place: int, edits: Edits = Edits()) -> str:  # noqa: B008
        page = await self.runs.history(run_id, owner=None, limit=200)
        checkpoint = page["checkpoints"][place]["checkpoint_id"]
        fork = await self.runs.fork(run_id, checkpoint, edits, owner=None)
        return await self.rest(fork["run_id"])

    async def begun(self, prompt: str, label: str) -> str:
        """The id of a run that stands at a gate."""
        run_id = (await self.runs.start(prompt))["run_id"]
        await until(lambda: label in self.shop.waiting)
        return str(run_id)


async def state_of(runs: Runs, run_id: str) -> RunState:
    """What its file has, read from the file's text."""
    exported = await runs.replays.export(run_id, owner=None)
    state: RunState = json.loads(json.dumps(exported["run"]))
    return state


async def by_patterns(made: Made) -> AsyncIterator[str]:
    """Runs that patterns plan."""
    for n in range(16):
        yield await made.run(f"add todo number {n}, then {n} + {n}, then show my list")
    for n in range(8):
        yield await made.run(f"hum tune number {n}")
        yield await made.run(f"stumble s{n}, then pass p{n}")
    yield await made.run("add todo tea\nadd todo milk\nsing")
    yield await made.run("2 + 2, then 3 + 3", budget=_budget(steps=1))
    yield await made.run("add todo no", options=RunOptions(tools=["calculator"]))
    async for run_id in retried(made):
        yield run_id
    async for run_id in _decided(made):
        yield run_id
    async for run_id in _resolved(made):
        yield run_id
    async for run_id in _cancelled(made):
        yield run_id
    async for run_id in _forked(made):
        yield run_id
    async for run_id in _talked(made):
        yield run_id
    for n in range(3):
        called = await made.runs.call("calculator", {"expression": f"{n} / {n}"}, owner="default")
        yield await made.rest(called["run_id"])


async def retried(made: Made) -> AsyncIterator[str]:
    task = "pass a, then fail b, then pass c"
    yield await made.run(task)
    for asked in ({}, {"skip": (2,)}, {"from_step": 1}, {"skip": (2, 3)}):
        yield await made.retried(await made.run(task), **asked)
    edited = {"expression": "6 * 7"}
    yield await made.retried(await made.run("pass a, then 1 / 0, then pass c"), input=edited)
    twice = await made.retried(await made.run("pass a, then fail b"))
    yield await made.retried(twice)
    yield await made.retried(await made.run("hum a tune"))


async def _decided(made: Made) -> AsyncIterator[str]:
    tasks = [f"add todo decide {n}, then show my list" for n in range(8)]
    waiting = [await made.run(task, approve="always") for task in tasks]
    for run_id in waiting[:2]:
        yield await made.approved(run_id)
    others = [{"tool": "calculator", "input": {"expression": "1 + 1"}}]
    yield await made.approved(waiting[2], {"steps": others})
    yield await made.approved(waiting[3], {"steps": [{"tool": "pass", "input": {"label": "x"}}]})
    await made.runs.reject(waiting[4], by="ann", owner=None, reason="not now")
    yield await made.rest(waiting[4])
    yield await made.cancelled(waiting[5])
    yield waiting[6]
    await made.runs.reject(waiting[7], by="ann", owner=None)
    yield await made.retried(waiting[7])
    yield await made.approved(await made.run("1 + 1, then fail b", approve="effects"))
    yield await made.run("1 + 1, then 2 + 2", approve="effects")


async def _resolved(made: Made) -> AsyncIterator[str]:
    yield await made.run(SEND)
    for said, output in (("done", {"sent": True}), ("skip", None), ("fail", None)):
        yield await made.resolved(await made.run(SEND), said, output)
    again = await made.resolved(await made.run(SEND), "redo")
    yield await made.resolved(again, "done", "sent")
    yield await made.cancelled(await made.run(SEND))
    failed = await made.resolved(await made.run(SEND), "fail")
    yield await made.resolved(await made.retried(failed), "skip")
    stopped = await made.retried(await made.cancelled(await made.run(SEND)))
    yield await made.resolved(stopped, "done", 1)


async def _cancelled(made: Made) -> AsyncIterator[str]:
    for n in range(3):
        label = f"door-{n}"
        yield await made.cancelled(
            await made.begun(f"pass a, then gate {label}, then pass c", label)
        )
    label = "twice"
    twice = await made.cancelled(await made.begun(f"pass a, then gate {label}", label))
    await made.runs.retry(twice, RetryRequest(), by="ann", owner=None)
    await until(lambda: label in made.shop.waiting)
    again = await made.cancelled(twice)
    await made.runs.retry(again, RetryRequest(skip=(2,)), by="ann", owner=None)
    yield await made.rest(again)


async def _forked(made: Made) -> AsyncIterator[str]:
    origin = await made.run("pass a, then 3 * 4, then pass c")
    for place in (0, 1, 2):
        yield await made.forked(origin, place)
    yield await made.forked(origin, 1, Edits(prompt="6 * 7"))
    steps = [{"tool": "calculator", "input": {"expression": "7"}}]
    yield await made.forked(origin, 1, Edits(steps=steps, cursor=0))
    failed = await made.run("pass a, then fail b")
    fork = await made.forked(failed, 0)
    yield await made.retried(fork, skip=(2,))
    waited = await made.approved(await made.run("pass a, then pass b", approve="always"))
    yield await made.forked(waited, 1)


async def _talked(made: Made) -> AsyncIterator[str]:
    for n in range(3):
        for prompt in (f"6 * {n}", "add 2 to it", f"add todo thing {n}", "mark it as done"):
            yield await made.run(prompt, thread_name=f"talk {n}")


async def waiting_long(made: Made) -> AsyncIterator[str]:
    """Runs that are cancelled while they wait for a further attempt."""
    for n in range(3):
        run_id = (await made.runs.start(f"stumble w{n}, then pass c"))["run_id"]
        await until(lambda run_id=run_id: in_backoff(made.runs, run_id))
        yield await made.cancelled(run_id)


class Models:
    """Two models, told what to answer ahead of each run."""

    def __init__(self) -> None:
        self.one, self.two = ScriptedModel("a/one", []), ScriptedModel("b/two", [])

    def script(self, *one: Turn, two: tuple[Turn, ...] = ()) -> None:
        self.one.script[:], self.two.script[:] = one, two


async def by_models(made: Made, models: Models) -> AsyncIterator[str]:
    """Runs that models plan, in rounds and in words."""

    async def planned(*one: Turn, two: tuple[Turn, ...] = (), **given: Any) -> str:
        models.script(*one, two=two)
        return await made.run(given.pop("prompt", "what is 2 + 2"), **given)

    for n in range(10):
        yield await planned(calculating(f"{n} + 1"))
        yield await planned(calculating(f"{n} + 1", "look"), calculating("{step_1_output} * 2"))
    for wrong in _wrong():
        yield await planned(wrong, calculating("4"))
        yield await planned(wrong, wrong, two=(calculating("5"),))
        yield await planned(wrong, wrong, two=(wrong, wrong))
    for fault in (outage(), outage("unreachable")):
        yield await planned(fault, calculating("4"), two=(calculating("5"),))
        yield await planned(fault, fault, two=(outage(), calculating("5")))
    refusal = replace(answer("no"), refused=True)
    yield await planned(refusal)
    yield await planned(round_of_steps())
    yield await planned(calculating("2", "look"), refusal)
    yield await planned(calculating("2", "look"), round_of_steps(says="It is two."))
    yield await planned(calculating("2", "look"), round_of_steps(then="refuse", says="no way"))
    yield await planned(calculating("2", "look"), max_rounds=1)
    yield await planned(*[calculating("2", "look")] * 2, max_rounds=2)
    async for run_id in _mended(planned, made):
        yield run_id
    async for run_id in _spoken(planned):
        yield run_id
    for budget in (_budget(usd=0.0), _budget(tokens=10), _budget(usd=0.0, on_exceeded="fail")):
        yield await planned(calculating("4"), budget=budget)
    yield await planned(two=(calculating("4"),), options=RunOptions(model="b/two"))
    yield await planned(calculating("4"), options=RunOptions(instructions="in few words"))
    for prompt in ("what is 6 * 7", "and twice that"):
        yield await planned(calculating("42"), prompt=prompt, thread_name="modelled")
    # From here on one model after the other is left alone.
    far = outage("rate_limited", retry_after=3000.0)
    yield await planned(calculating("2", "look"), far, two=(calculating("3"),))
    yield await planned(two=(outage(), outage()))
    yield await planned(two=(outage("timeout"), outage("timeout")))
    yield await planned(two=(misconfigured(),), prompt="sing a song")
    yield await planned(prompt="what is 3 + 3")


def _wrong() -> Iterator[Completion]:
    yield answer("I would add them.")
    yield round_of_steps(("no_such_tool", {"a": 1}))
    yield round_of_steps(("calculator", {"expression": 3}))
    yield replace(calculating("4"), finish_reason="length")


async def _mended(planned: Any, made: Made) -> AsyncIterator[str]:
    divided = round_of_steps(("calculator", {"expression": "1 / 0"}), ("pass", {"label": "x"}))
    yield await planned(divided, passing("y"))
    yield await planned(divided, round_of_steps(then="refuse", says="no way"))
    yield await planned(divided, passing("y"), mend=0)
    yield await planned(divided, passing("y", then="look"), passing("z"))
    asked = await planned(passing("a", then="look"), approve="always")
    yield asked
    looked = await made.approved(
        await planned(passing("a", then="look"), passing("b"), approve="always")
    )
    yield await made.approved(looked)
    edited = await made.approved(
        await planned(passing("a", then="look"), passing("b"), approve="always")
    )
    steps = [{"tool": "pass", "input": {"label": "another"}}]
    yield await made.approved(edited, {"steps": steps})
    fails = round_of_steps(("pass", {"label": "a"}), ("fail", {"label": "f"}))
    failed = await planned(fails, passing("again"), mend=0)
    again = await made.retried(failed, replan=True)
    yield await made.approved(again)


async def _spoken(planned: Any) -> AsyncIterator[str]:
    said, words = RunOptions(answer=True), answer("It is 42.")
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    shaped = RunOptions(result_schema=schema)
    for spoken in (words, answer(""), replace(words, finish_reason="length"), outage()):
        yield await planned(calculating("6 * 7"), spoken, options=said)
    late = Broken("It is", "stop", failure=outage("timeout"))
    yield await planned(calculating("6 * 7"), late, options=said)
    yield await planned(calculating("6 * 7"), Broken("It is", "stop"), options=said)
    yield await planned(round_of_steps(says="Hello!"), options=said)
    yield await planned(calculating("2", "look"), round_of_steps(says="It is two."), options=said)
    good = answer('It is 42.\n<value>{"n": 42}</value>')
    for texts in ((good,), (words, answer('{"n": 42}')), (words, answer('{"n": "x"}'))):
        yield await planned(calculating("6 * 7"), *texts, options=shaped)


def _budget(**given: Any) -> Any:
    nothing = {"usd": None, "tokens": None, "seconds": None, "steps": None}
    return nothing | {"on_exceeded": "pattern"} | given


async def recorded_runs(storage: Storage) -> AsyncIterator[tuple[RunState, Runs]]:
    """All of them, each with the runs that it is one of: patterns first, then models."""
    for limits, kinds in ((AT_ONCE, by_patterns), (LONG, waiting_long)):
        shop = Shop()
        async with process(storage, shop, limits=limits, slots=8) as runs:
            async for run_id in kinds(Made(runs, shop)):
                yield await state_of(runs, run_id), runs
    shop, models = Shop(), Models()
    async with process(storage, shop, models.one, models.two, limits=AT_ONCE, slots=8) as runs:
        async for run_id in by_models(Made(runs, shop), models):
            yield await state_of(runs, run_id), runs
