"""Whole runs whose model fails: a real server beside aimock, for each provider and fault."""

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.support.models.llm_house import (
    BACKUP_USD,
    House,
    assert_done,
    assert_spent,
    each_provider,
    llm_house,
)
from tests.support.models.llm_runs import BACKUP, SUM, answer, broken, calls, fault, health


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with llm_house(tmp_path_factory.mktemp("house")) as started:
        yield started


@each_provider
@pytest.mark.parametrize(
    ("error", "error_class"),
    [
        (fault(401), "unauthorized"),
        (fault(403), "forbidden"),
        (fault(404), "not_found"),
        (
            fault(429, type="insufficient_quota", code="insufficient_quota", message="quota"),
            "quota_exhausted",
        ),
    ],
    ids=["401", "403", "404", "quota"],
)
def test_what_only_a_person_can_mend_is_not_tried_again(
    house: House, name: str, error: dict[str, Any], error_class: str
) -> None:
    """The next model is asked at once, and the health says which one is misconfigured."""
    outcome = house.run(name, error)

    assert_done(outcome, BACKUP)
    assert calls(outcome.record) == [(name, "failed", error_class), (BACKUP, "planned", None)]
    assert outcome.record["planning_log"][0]["transient"] is False
    assert (outcome.requests, outcome.backup_requests) == (1, 1)
    assert outcome.record["usage"]["usd"] == pytest.approx(BACKUP_USD)
    state = health(house.servers[name])
    assert (state[name]["state"], state[name]["error_class"]) == ("misconfigured", error_class)
    assert state[BACKUP]["state"] == "ok"


@each_provider
@pytest.mark.parametrize(
    ("error", "error_class"),
    [
        (fault(400), "bad_request"),
        (
            fault(
                400,
                code="context_length_exceeded",
                message="prompt is too long: maximum context length is 8192 tokens",
            ),
            "context_too_long",
        ),
    ],
    ids=["400", "context"],
)
def test_a_request_that_a_model_does_not_take_goes_to_the_next(
    house: House, name: str, error: dict[str, Any], error_class: str
) -> None:
    """The model itself is well."""
    outcome = house.run(name, error)

    assert_done(outcome, BACKUP)
    assert calls(outcome.record)[0] == (name, "failed", error_class)
    assert (outcome.requests, outcome.backup_requests) == (1, 1)
    assert health(house.servers[name])[name]["state"] == "ok"


@each_provider
def test_a_rate_limit_is_waited_for(house: House, name: str) -> None:
    house.run(name, answer(SUM))

    outcome = house.run(name, fault(429, retry_after=1, type="rate_limit_error"), answer(SUM))

    assert_done(outcome, name)
    assert_spent(outcome, name, 1)
    assert calls(outcome.record) == [(name, "failed", "rate_limited"), (name, "planned", None)]
    first, second = (
        datetime.fromisoformat(entry["started_at"]) for entry in outcome.record["planning_log"]
    )
    assert (second - first).total_seconds() >= 1
    assert outcome.requests == 2


@each_provider
def test_a_rate_limit_longer_than_a_run_can_wait_closes_the_model_for_so_long(
    house: House, name: str
) -> None:
    """The run does not wait for it, and those after it do not ask."""
    house.run(name, answer(SUM))

    outcome = house.run(name, fault(429, retry_after=6, type="rate_limit_error"))
    limited_at = time.monotonic()
    later = house.run(name, answer(SUM))

    assert_done(outcome, BACKUP)
    assert (outcome.requests, outcome.backup_requests) == (1, 1)
    assert_done(later, BACKUP)
    assert calls(later.record)[0] == (name, "skipped", "circuit_open")
    assert (later.requests, later.backup_requests) == (0, 1)
    time.sleep(max(0.0, limited_at + 6 - time.monotonic()))
    assert_done(house.run(name, answer(SUM)), name)


@each_provider
@pytest.mark.parametrize(
    ("error", "error_class"),
    [
        (fault(500), "server_error"),
        (fault(503), "server_error"),
        (fault(529), "overloaded"),
        (broken(malformedRate=1), "malformed_answer"),
        (broken(disconnectRate=1), "unreachable"),
    ],
    ids=["500", "503", "529", "malformed", "disconnect"],
)
def test_an_outage_is_tried_once_more_and_then_left(
    house: House, name: str, error: dict[str, Any], error_class: str
) -> None:
    outcome = house.run(name, error)

    assert_done(outcome, BACKUP)
    assert calls(outcome.record) == [
        (name, "failed", error_class),
        (name, "failed", error_class),
        (BACKUP, "planned", None),
    ]
    assert all(entry["transient"] for entry in outcome.record["planning_log"][:2])
    assert (outcome.requests, outcome.backup_requests) == (2, 1)


@each_provider
def test_an_outage_that_passes_costs_one_more_request(house: House, name: str) -> None:
    outcome = house.run(name, fault(500), answer(SUM))

    assert_done(outcome, name)
    assert_spent(outcome, name, 1)
    assert (outcome.requests, outcome.backup_requests) == (2, 0)


@each_provider
def test_a_slow_model_is_left_at_its_deadline(house: House, name: str) -> None:
    outcome = house.run(name, broken(latencyMs=4500))

    assert_done(outcome, BACKUP)
    slow = outcome.record["planning_log"][:-1]
    assert {entry["error_class"] for entry in slow} == {"timeout"}
    assert all(2400 < entry["duration_ms"] < 4400 for entry in slow)
    # aimock does not note a request whose client went away; each call here is one.
    assert (len(slow), outcome.backup_requests) == (1, 1)
