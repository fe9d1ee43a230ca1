"""The record of a run, as it is read from its state."""

from typing import Any

from graph.record.record import record_of
from graph.state import RunState, step_key
from tests.support.runs.run_states import attempted, planned, queued


def keys(state: RunState) -> list[str | None]:
    """Those of its attempts, the first one first."""
    return [attempt["step_key"] for attempt in record_of(state)["execution_log"]]


def test_each_attempt_has_the_key_that_its_tool_was_given() -> None:
    """A retry of a finished step is a new generation, and has another."""
    state = planned(queued(), 2)
    first = step_key(state, 1)
    state = attempted(attempted(state, status="error", output=None), generation=0)
    again: Any = {**state, "generation": 1, "cursor": 0, "attempt": 0}
    again = attempted(again, generation=1)

    assert keys(again)[:2] == [first, first]
    assert keys(again)[2] == step_key(again, 1) != first


def test_a_fork_knows_no_key_of_what_it_was_given_as_done() -> None:
    """It was another run that made these attempts."""
    state: Any = attempted(planned(queued(), 2), generation=0)
    mark: Any = {"kind": "mark", "what": "taken_up", "at": 1.0, "by": "server", "detail": None}
    fork = {"run_id": "another", "checkpoint_id": "c", "from_step": 2, "skip": [], "planned": 1}
    fork["logged"] = 2
    state = {**state, "forked_from": fork, "log": [mark, *state["log"]]}
    state = attempted(state, generation=0)

    assert keys(state) == [None, step_key(state, 2)]


def test_a_fork_that_has_not_begun_has_no_attempts() -> None:
    state: Any = queued()
    fork = {"run_id": "another", "checkpoint_id": "c", "from_step": 2, "skip": [], "planned": 1}
    state = {**state, "forked_from": {**fork, "logged": 2}}
    del state["log"]

    assert keys(state) == []
