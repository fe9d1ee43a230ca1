"""A process that ends between, or within, the rounds of a run changes nothing of its record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import uuid4

import pytest
from langchain_core.runnables import RunnableConfig

from graph.build import recursion_limit
from graph.record.events import events
from graph.record.record import record_of
from graph.state import RunState, new_run, split, whole
from graph.storage.storage import Storage
from nodes.planning.model import Completion, Message
from tests.support.models.planning_runs import LIMITS, Planning
from tests.support.models.rounds import calculating, round_of_steps, seen
from tests.support.models.scripted_models import Killed, ScriptedModel, answer

#: A look, a step that fails for good, and what mends it; the second answer is repaired.
ANSWERS = [
    [calculating("2 + 3", "look")],
    [answer("no plan"), round_of_steps(("calculator", {"expression": "{step_1_output} / 0"}))],
    [calculating("{step_1_output} * 2")],
]

#: Super-steps of that run: its beginning, four calls, three attempts, and its end.
SUPER_STEPS = 9


@dataclass
class RoundModel(ScriptedModel):
    """Answers by what it is told, so that a repeated call has the same answer."""

    killed_at: int | None = None
    asked: list[int] = field(default_factory=list)

    async def complete(
        self, messages: Sequence[Message], schema: Mapping[str, Any], *, timeout: float
    ) -> Completion:
        repaired = "That plan was rejected" in messages[-1]["content"]
        told = (len(messages) - 2 * repaired) // 2 - 1
        self.asked.append(told)
        if self.killed_at == len(self.asked):
            raise Killed
        return ANSWERS[told][repaired]


def accepted() -> RunState:
    return new_run("2 + 3, then", run_id=str(uuid4()), owner="me", limits=LIMITS, created_at=1.0)


async def driven(
    storage: Storage, model: RoundModel, run: RunState, *, given: bool, end: int | None = None
) -> RunState:
    """The run from its input, or its last checkpoint, to its end or so many super-steps on."""
    planning = Planning(storage, model)
    config: RunnableConfig = {
        "configurable": {"thread_id": run["run_id"]},
        "recursion_limit": recursion_limit(LIMITS, models=1),
    }
    count, so_far = 0, events(run)
    stream = planning.graph.astream(
        cast("Any", split(run) if given else None),
        config,
        stream_mode="values",
        durability="sync",
    )
    state = run
    async for part in stream:
        state = whole(cast("Any", part))
        now = events(state)
        assert now[: len(so_far)] == so_far
        so_far = now
        count += 1
        if end is not None and count > end:
            break
    await stream.aclose()
    return state


def untimed(value: Any) -> Any:
    """The same without times, and without the id of the run and what is made of it."""
    own = ("at", "started_at", "completed_at", "duration_ms", "run_id", "thread_id", "step_key")
    if isinstance(value, dict):
        return {key: untimed(item) for key, item in value.items() if key not in own}
    return [untimed(item) for item in value] if isinstance(value, list) else value


async def unbroken(storage: Storage) -> tuple[Any, list[int]]:
    model = RoundModel("a/one", [])
    state = await driven(storage, model, accepted(), given=True)
    assert state["status"] == "completed", state["error"]
    assert [entry[1] for entry in seen(state)] == ["first", "look", "mend"]
    return untimed(record_of(state)), model.asked


@pytest.mark.parametrize("end", range(1, SUPER_STEPS + 1))
async def test_a_kill_at_a_checkpoint_changes_nothing(storage: Storage, end: int) -> None:
    record, asked = await unbroken(storage)
    model, run = RoundModel("a/one", []), accepted()
    await driven(storage, model, run, given=True, end=end)
    state = await driven(storage, model, run, given=False)

    assert untimed(record_of(state)) == record
    assert [*dict.fromkeys(model.asked)] == [*dict.fromkeys(asked)]


@pytest.mark.parametrize("call", [1, 2, 3, 4])
async def test_a_kill_within_a_call_repeats_that_call_and_nothing_else(
    storage: Storage, call: int
) -> None:
    record, asked = await unbroken(storage)
    model, run = RoundModel("a/one", [], killed_at=call), accepted()
    with pytest.raises(Killed):
        await driven(storage, model, run, given=True)
    state = await driven(storage, model, run, given=False)

    assert untimed(record_of(state)) == record
    assert model.asked == [*asked[:call], *asked[call - 1 :]]
