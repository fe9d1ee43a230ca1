"""Whatever models answer and people ask, and whenever the process ends: one list of events.

Runs of up to five rounds with retries, mends, approvals, edits, forks and kills. After each
checkpoint the list of events begins with that of the checkpoint before.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from graph.commands.approval import NotWaiting
from graph.commands.retry import NotPlanned, NotRetryable, RetryRejected, RetryRequest
from graph.commands.seeded import Edits, ForkRejected
from graph.queue.executor import NotAccepting
from graph.record.explain import explain
from graph.record.record import record_of
from graph.runs.cancellation import AlreadySettled
from graph.service import Runs
from graph.state import Approve, Limits, RunState, attempts
from graph.state.rounds import dropped, rounds_of
from graph.state.status import SETTLED_OR_WAITING
from graph.storage.open import open_storage
from nodes.approval.questions import PlanUnfit
from nodes.planning.model import Completion, Message
from tests.support.examples import examples
from tests.support.models.rounds import round_of_steps
from tests.support.models.scripted_models import ScriptedModel, answer, outage
from tests.support.patience import patience
from tests.support.runs.live_runs import AT_ONCE, Gates, history, process, told

#: What may rightly be refused: the run stands elsewhere by then.
REFUSED = (
    AlreadySettled,
    ForkRejected,
    NotAccepting,
    NotPlanned,
    NotRetryable,
    NotWaiting,
    PlanUnfit,
    RetryRejected,
)

#: What a step does: pass by, fail once, fail for good after it may have acted, or before that, so
#: that a model may mend it, or pass by with an earlier output.
TOOLS = ("pass", "pass", "stumble", "fail", "missing", "refer")


@dataclass(frozen=True)
class Reply:
    """What a model answers: a number of steps, what follows, or that it cannot."""

    steps: tuple[str, ...]
    then: str
    fault: str | None


REPLIES = st.builds(
    Reply,
    st.lists(st.sampled_from(TOOLS), min_size=1, max_size=3).map(tuple),
    st.sampled_from(["look", "look", "look", "done"]),
    st.just(None),
) | st.sampled_from(
    [
        Reply((), "done", None),
        Reply((), "refuse", None),
        Reply((), "look", None),
        Reply((), "done", "outage"),
        Reply((), "done", "text"),
    ]
)


@dataclass(frozen=True)
class Order:
    """What somebody asks of the run, after so many turns of the loop, or that the process ends.

    That is while a model is asked, or at rest: two processes in one do not write at once.
    """

    what: str
    ticks: int
    number: int
    replan: bool
    then: str


#: Once the run rests.
AT_REST = 10**6

ORDERS = st.builds(
    Order,
    st.sampled_from(
        [
            *("approve", "approve", "retry", "retry", "edit", "reject"),
            *("from", "skip", "cancel", "fork", "kill"),
        ]
    ),
    st.just(AT_REST) | st.integers(0, 60),
    st.integers(1, 4),
    st.booleans(),
    st.sampled_from(["done", "look"]),
)


@dataclass
class Replying(ScriptedModel):
    """Answers its replies, then with one step that ends it all."""

    script: list[Any] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    held: asyncio.Event | None = None

    async def complete(
        self, messages: Sequence[Message], schema: Mapping[str, Any], *, timeout: float
    ) -> Completion:
        if self.held is not None:
            self.held.set()
            await asyncio.Event().wait()
        reply = self.replies.pop(0) if self.replies else Reply(("pass",), "done", None)
        self.script = [self._turn(reply, len(self.calls))]
        return await super().complete(messages, schema, timeout=timeout)

    def _turn(self, reply: Reply, call: int) -> Any:
        if reply.fault is not None:
            return outage() if reply.fault == "outage" else answer("no plan")
        steps = [_step(tool, f"{call}.{place}") for place, tool in enumerate(reply.steps)]
        return round_of_steps(*steps, then=reply.then)


def _step(tool: str, label: str) -> tuple[str, dict[str, Any]]:
    match tool:
        case "missing":  # nothing is called, so that a model may mend it
            return "pass", {"label": "{step_1_output.none}"}
        case "refer":
            return "pass", {"label": "{step_1_output} " + label}
        case _:
            return tool, {"label": label}


@given(
    replies=st.lists(REPLIES, min_size=3, max_size=12),
    orders=st.lists(ORDERS, min_size=2, max_size=8),
    approve=st.sampled_from(["never", *get_args(Approve)]),
    max_rounds=st.sampled_from([1, 3, 5]),
    mend=st.integers(0, 2),
)
@settings(
    max_examples=examples(120),
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow],
)
def test_what_was_told_stays_told(
    replies: list[Reply], orders: list[Order], approve: Approve, max_rounds: int, mend: int
) -> None:
    limits: Limits = {**AT_ONCE, "max_rounds": max_rounds, "mend": mend}
    asyncio.run(_course(Replying("a/one", replies=replies), orders, approve, limits))


async def _course(
    model: Replying, orders: Sequence[Order], approve: Approve, limits: Limits
) -> None:
    async with open_storage("memory://") as storage:
        gates, pending, ids = Gates(), list(orders), list[str]()
        killed = True
        while killed:
            killed, model.held = False, None
            ending = process(storage, gates, model, limits=limits, orderly=False)
            async with ending as runs:
                if not ids:
                    ids.append((await runs.start("pass a", approve=approve))["run_id"])
                while pending and not killed:
                    order = pending.pop(0)
                    killed = order.what == "kill"
                    if killed:
                        await _held(runs, ids, model)
                    else:
                        await _after(runs, ids, order.ticks)
                        await _obeyed(runs, ids, order)
                if not killed:
                    await _after(runs, ids, AT_REST)
                    for run_id in ids:
                        await told(runs, run_id)
                        _check([*await history(runs, run_id)])


async def _after(runs: Runs, ids: Sequence[str], ticks: int) -> None:
    """Wait so many turns of the loop, or until all rest."""
    if ticks < AT_REST:
        for _ in range(ticks):
            await asyncio.sleep(0)
        return
    for run_id in ids:
        record = await runs.wait(run_id, timeout=patience(), owner=None)
        assert record["status"] in SETTLED_OR_WAITING, record


async def _held(runs: Runs, ids: Sequence[str], model: Replying) -> None:
    """Wait until the model is asked in vain, or all rest."""
    model.held = asyncio.Event()
    held, rest = (
        asyncio.ensure_future(model.held.wait()),
        asyncio.ensure_future(_after(runs, ids, AT_REST)),
    )
    await asyncio.wait({held, rest}, return_when=asyncio.FIRST_COMPLETED)
    for waiting in (held, rest):
        waiting.cancel()
    await asyncio.wait({held, rest})


async def _obeyed(runs: Runs, ids: list[str], order: Order) -> None:
    """What was asked of the latest run, where it could be."""
    run_id, who = ids[-1], {"by": "ann", "owner": None}
    try:
        match order.what:
            case "approve":
                await runs.approve(run_id, **who)
            case "edit":
                steps = [{"tool": "pass", "input": {"label": "edited"}}] * (1 + order.number % 2)
                await runs.approve(run_id, **who, plan={"steps": steps, "then": order.then})
            case "reject":
                await runs.reject(run_id, **who)
            case "cancel":
                await runs.cancel(run_id, **who)
            case "fork":
                await _fork(runs, ids, order)
            case _:
                await runs.retry(run_id, _request(order), **who)
    except REFUSED:
        pass


def _request(order: Order) -> RetryRequest:
    number = None if order.what == "retry" else order.number
    skip = (order.number, order.number + 1) if order.what == "skip" else None
    return RetryRequest(from_step=number, skip=skip, replan=order.replan)


async def _fork(runs: Runs, ids: list[str], order: Order) -> None:
    page = await runs.history(ids[-1], owner=None, limit=100)
    if points := page["checkpoints"]:
        point = points[order.number * 7 % len(points)]["checkpoint_id"]
        ids.append((await runs.fork(ids[-1], point, Edits(), owner=None))["run_id"])


def _check(states: Sequence[RunState]) -> None:
    """What holds of every state, and from each to the next."""
    executed: dict[tuple[int, int], Any] = {}
    for state in states:
        if state.get("status") is None:
            continue
        steps, rounds = state["plan"]["steps"], rounds_of(state)
        assert [step["step"] for step in steps] == list(range(1, len(steps) + 1))
        assert [entry["round"] for entry in rounds] == list(range(1, len(rounds) + 1))
        ends = [0, *(entry["last"] for entry in rounds)]
        assert [entry["first"] - 1 for entry in rounds] == ends[:-1]
        assert ends[-1] == len(steps)
        # A dropped step is dropped once, and for good.
        gone = [step["step"] for entry in rounds for step in entry["dropped"]]
        assert len(gone) == len({*gone}) == len(dropped(state))
        assert not any(step > state["cursor"] and step not in state["skipped"] for step in gone)
        for entry in attempts(state):  # what was executed keeps its number
            told_of = entry["generation"], entry["step"]
            assert executed.setdefault(told_of, entry["tool"]) == entry["tool"]
            assert steps[entry["step"] - 1]["tool"] == entry["tool"]
        if state["planning"] is not None and len(rounds) > 1:
            assert rounds[-1]["round"] == state["planning"]["round"]
            assert rounds[-1]["then"] is None
        made = record_of(state)
        assert made["plan"]["rounds"] == rounds
        explain(state, now=state["created_at"] + 3600)
