"""What is counted of runs: once, whatever comes twice, and nothing that an earlier process did."""

from typing import Any, cast

import pytest

from graph.state import Mark, RunState
from graph.telemetry.metrics import OTHER, Metrics, Names, RunObserver, together
from tests.support.runs.run_states import (
    CREATED_AT,
    attempted,
    cancelled,
    completed,
    planned,
    queued,
)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def observe(metrics: Metrics) -> RunObserver:
    return RunObserver(metrics, since=CREATED_AT)


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(f"runwright_{name}", labels) or 0.0


def course(run_id: str | None = None) -> list[RunState]:
    """The states of a run of two steps, of which the first was tried twice."""
    states = [queued(run_id=run_id)]
    states.append(planned(states[-1]))
    states.append(attempted(states[-1], status="error", output=None))
    states.append(attempted(states[-1]))
    states.append(attempted(states[-1]))
    return [*states, completed(states[-1])]


def test_a_run_is_counted_from_its_acceptance_to_its_end(metrics, observe):
    for state in course():
        observe(state)

    assert value(metrics, "runs_accepted_total") == 1
    assert value(metrics, "runs_settled_total", status="completed", error="") == 1
    assert value(metrics, "run_seconds_sum", status="completed") == 60
    assert value(metrics, "run_queue_seconds_sum") == 1
    assert value(metrics, "step_attempts_total", tool="notes.add", outcome="ok") == 2
    assert value(metrics, "step_attempts_total", tool="notes.add", outcome="error") == 1
    assert value(metrics, "step_seconds_sum", tool="notes.add") == 0.75
    assert value(metrics, "planning_seconds_count", planner="pattern") == 1


def test_a_state_that_is_shown_again_counts_nothing(metrics, observe):
    for state in course()[:-1]:
        observe(state)
        observe(state)

    assert value(metrics, "step_attempts_total", tool="notes.add", outcome="ok") == 2
    assert value(metrics, "planning_seconds_count", planner="pattern") == 1


def test_states_that_were_skipped_are_counted_with_the_next(metrics, observe):
    states = course()
    observe(states[0])
    observe(states[-1])

    assert value(metrics, "step_attempts_total", tool="notes.add", outcome="ok") == 2
    assert value(metrics, "runs_settled_total", status="completed", error="") == 1


def test_what_an_earlier_process_did_is_not_counted(metrics):
    states = course()
    observe = RunObserver(metrics, since=CREATED_AT + 3.1)  # the second attempt was under way
    for state in states[3:]:
        observe(state)

    assert value(metrics, "runs_accepted_total") == 0
    assert value(metrics, "planning_seconds_count", planner="pattern") == 0
    assert value(metrics, "step_attempts_total", tool="notes.add", outcome="ok") == 2
    assert value(metrics, "step_attempts_total", tool="notes.add", outcome="error") == 0
    assert value(metrics, "run_queue_seconds_count") == 0


def test_a_run_that_an_earlier_process_has_settled_is_not_counted(metrics):
    RunObserver(metrics, since=CREATED_AT + 100)(course()[-1])

    assert value(metrics, "runs_settled_total", status="completed", error="") == 0


def test_a_retry_counts_what_follows_it(metrics, observe):
    states = course()
    for state in [*states[:3], cancelled(states[2])]:
        observe(state)
    retry = cast("Mark", {"kind": "mark", "what": "retry", "at": CREATED_AT + 70})
    before: Any = cancelled(states[2])
    again: RunState = {**before, "status": "pending", "generation": 1, "error": None}
    again = {**again, "log": [*before["log"], retry]}
    going_on = attempted(attempted(again | {"status": "running"}))  # type: ignore[arg-type]
    for state in (again, going_on, {**completed(going_on), "completed_at": CREATED_AT + 75}):
        observe(cast("RunState", state))

    assert value(metrics, "runs_accepted_total") == 1
    assert value(metrics, "runs_retried_total") == 1
    assert value(metrics, "step_attempts_total", tool="notes.add", outcome="error") == 1
    assert value(metrics, "step_attempts_total", tool="notes.add", outcome="ok") == 2
    assert value(metrics, "runs_settled_total", status="cancelled", error="cancelled") == 1
    assert value(metrics, "run_seconds_sum", status="completed") == 5


def test_a_fork_counts_nothing_that_it_brings_along(metrics, observe):
    origin = course()[3]
    fork: Any = {**origin, "status": "pending", "forked_from": {"run_id": "1"}}
    for state in (fork, {**fork, "status": "running"}, completed(attempted(fork))):
        observe(state)

    assert value(metrics, "runs_accepted_total") == 1
    assert value(metrics, "step_attempts_total", tool="notes.add", outcome="error") == 0
    assert value(metrics, "step_attempts_total", tool="notes.add", outcome="ok") == 1


def test_calls_of_models_are_counted_with_what_they_cost(metrics, observe):
    state = planned(queued())
    call: Any = {
        **state["planning_log"][0],
        "planner": "llm",
        "model": "openai/gpt-5-mini",
        "duration_ms": 1500.0,
        "input_tokens": 700,
        "output_tokens": 80,
        "usd": 0.25,
    }
    unknown = call | {"input_tokens": None, "output_tokens": None, "usd": None}
    passed = call | {"outcome": "skipped"}
    observe({**state, "planning_log": [call, unknown, passed]})

    labels = {"model": "openai/gpt-5-mini", "purpose": "plan"}
    assert value(metrics, "model_calls_total", outcome="planned", **labels) == 2
    assert value(metrics, "model_calls_total", outcome="skipped", **labels) == 1
    assert value(metrics, "model_call_seconds_sum", model="openai/gpt-5-mini") == 3
    tokens = {"model": "openai/gpt-5-mini"}
    assert value(metrics, "model_tokens_total", direction="read", **tokens) == 700
    assert value(metrics, "model_tokens_total", direction="written", **tokens) == 80
    assert value(metrics, "model_usd_total", model="openai/gpt-5-mini") == 0.25


def test_a_fault_of_counting_never_reaches_the_run(metrics, observe, caplog):
    broken: Any = {**course()[2], "log": [{"kind": "attempt"}]}
    seen: list[RunState] = []
    together([observe, seen.append], metrics)(broken)

    assert value(metrics, "observer_faults_total") == 1
    assert "was not observed" in caplog.text
    assert seen == [broken]  # nor another observer


def test_nothing_is_kept_of_a_run_that_has_ended(metrics, observe):
    for state in course():
        observe(state)

    assert observe.followed == 0


def test_names_are_told_apart_up_to_a_bound():
    names = Names(2)
    assert [names.bounded(name) for name in "abcab"] == ["a", "b", OTHER, "a", "b"]
