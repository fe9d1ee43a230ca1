"""Whole runs whose model fails: a real server beside aimock, for each provider and fault."""

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.models.llm_house import (
    BACKUP_USD,
    PROMPT,
    House,
    assert_done,
    assert_spent,
    each_provider,
    llm_house,
)
from tests.support.models.llm_runs import (
    BACKUP,
    SUM,
    answer,
    broken,
    calls,
    fault,
    health,
    models,
    run,
    serving_models,
)
from tests.support.models.mock_llm import PROVIDERS
from tests.support.models.silent_server import silence
from tests.support.patience import patience


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


def test_a_rate_limit_longer_than_a_run_can_wait_closes_the_model_for_so_long(
    house: House, tmp_path: Path
) -> None:
    """The run does not wait for it, and those after it do not ask."""
    limited = [(name, house.mock.base_of(name)) for name in PROVIDERS]
    configured = models(*limited, (BACKUP, f"{house.backup.url}/v1"))
    with serving_models(tmp_path, models=configured, breaker_seconds="0") as server:
        house.mock.script(fault(429, retry_after=7200, type="rate_limit_error"))
        house.backup.requests.clear()
        began = time.time()
        outcome = run(server, PROMPT)
        ended, asked = time.time(), len(house.mock.requests)
        house.mock.script(answer(SUM))
        later = run(server, PROMPT)
        state = health(server)

    assert calls(outcome)[:-1] == [(name, "failed", "rate_limited") for name in PROVIDERS]
    assert calls(later)[:-1] == [(name, "skipped", "circuit_open") for name in PROVIDERS]
    assert calls(outcome)[-1] == calls(later)[-1] == (BACKUP, "planned", None)
    assert (asked, len(house.mock.requests), len(house.backup.requests)) == (3, 0, 2)
    for name in PROVIDERS:
        until = datetime.fromisoformat(str(state[name]["until"])).timestamp()
        assert began + 3600 - 0.001 <= until <= ended + 3600  # of two hours the most that is kept


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


@pytest.mark.slow
@each_provider
def test_a_slow_model_is_left_at_its_deadline(house: House, name: str, tmp_path: Path) -> None:
    """It never answers: aimock does so after half a minute at the latest."""
    longest = patience(8)  # its own client may have to wait for the processor
    house.backup.requests.clear()
    with silence() as slow:
        configured = models((name, slow.url), (BACKUP, f"{house.backup.url}/v1"))
        with serving_models(tmp_path, models=configured, model_timeout=f"{longest}") as server:
            record = run(server, PROMPT)

    assert len(slow.accepted) == 1
    assert calls(record) == [(name, "failed", "timeout"), (BACKUP, "planned", None)]
    assert record["planning_log"][0]["duration_ms"] >= 990 * longest
    assert len(house.backup.requests) == 1
