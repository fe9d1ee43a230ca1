"""The state: plain data that survives JSON and a checkpoint unchanged."""

import json
from typing import Any, get_type_hints

from hypothesis import given
from hypothesis import strategies as st
from langgraph.channels.delta import DeltaChannel

from graph.state import (
    DEFAULT_LIMITS,
    STATE_VERSION,
    Channels,
    ErrorType,
    Plan,
    RunState,
    Step,
    extend,
    new_run,
    run_error,
)
from graph.storage.storage import strict_serializer

text = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
logs = st.lists(st.integers())


@given(text, text, st.floats(allow_nan=False, allow_infinity=False))
def test_a_new_run_survives_json_and_a_checkpoint(
    prompt: str, owner: str, created_at: float
) -> None:
    state = new_run(prompt, run_id="r", owner=owner, limits=DEFAULT_LIMITS, created_at=created_at)
    serializer = strict_serializer()

    assert json.loads(json.dumps(state)) == state
    assert serializer.loads_typed(serializer.dumps_typed(state)) == state


def test_a_new_run_has_every_key_but_the_log_and_those_that_not_every_run_has() -> None:
    """The log is a channel of its own, empty by itself; a write would be one more entry of it."""
    state = new_run("task", run_id="r", owner="o", limits=DEFAULT_LIMITS, created_at=1.0)

    rare = {"approve", "approval", "asked", "choice", "conversation", "kept"}
    rare |= {"metadata", "thread_id", "traceparent"}
    assert set(state) == set(RunState.__annotations__) - {"log", *rare}
    assert (state["version"], state["status"]) == (STATE_VERSION, "pending")


def test_two_new_runs_share_nothing_that_can_change() -> None:
    first, second = (
        new_run("task", run_id="r", owner="o", limits=DEFAULT_LIMITS, created_at=1.0)
        for _ in range(2)
    )
    first["plan"]["steps"].append(Step(step=1, tool="t", input={}, reasoning="", span=None))
    first["usage"]["calls"] = 1

    assert second["plan"]["steps"] == []
    assert second["usage"]["calls"] == 0


def test_the_log_is_kept_as_differences_with_a_snapshot_now_and_then() -> None:
    (channel,) = get_type_hints(Channels, include_extras=True)["log"].__metadata__

    assert isinstance(channel, DeltaChannel)
    assert 20 <= channel.snapshot_frequency <= 100


@given(logs, st.lists(logs), st.lists(logs))
def test_the_reducer_gives_the_same_however_writes_are_batched(
    log: list[Any], first: list[list[Any]], second: list[list[Any]]
) -> None:
    assert extend(extend(log, first), second) == extend(log, first + second)


@given(logs, st.lists(logs))
def test_the_reducer_changes_neither_the_log_nor_the_writes(
    log: list[Any], writes: list[list[Any]]
) -> None:
    before = (list(log), [list(write) for write in writes])
    result = extend(log, writes)
    result.append(None)

    assert (log, writes) == before


def test_an_error_has_all_its_fields_whatever_is_named() -> None:
    kind: ErrorType = "plan_rejected"
    plan = Plan(steps=[])

    assert run_error(kind, "no", rejected_plan=plan) == {
        "type": "plan_rejected",
        "message": "no",
        "step": None,
        "unparsed": [],
        "examples": [],
        "rejected_plan": plan,
    }
