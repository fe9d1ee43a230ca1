"""The table of transitions, and what the run index makes of it."""

from typing import get_args

import pytest

from graph.state import Status
from graph.state.status import SETTLED, TRANSITIONS, actions, leads_to, may_become

STATUSES: tuple[Status, ...] = get_args(Status)


def test_every_status_has_its_line_in_the_table() -> None:
    assert set(TRANSITIONS) == set(STATUSES)
    assert all(following <= set(STATUSES) for following in TRANSITIONS.values())


@pytest.mark.parametrize(
    ("current", "following"),
    [
        ("pending", {"running", "cancelled", "failed"}),
        ("running", {"waiting", "completed", "failed", "cancelled"}),
        ("waiting", {"running", "cancelled"}),
        ("completed", set()),
        ("failed", {"pending"}),
        ("cancelled", {"pending"}),
    ],
)
def test_a_run_may_become_what_the_design_says(current: Status, following: set[Status]) -> None:
    assert {status for status in STATUSES if may_become(current, status)} == following


def test_out_of_a_settled_status_leads_nothing_but_a_retry() -> None:
    assert all(TRANSITIONS[status] <= {"pending"} for status in SETTLED)
    assert set(STATUSES) - SETTLED == {"pending", "running", "waiting"}


def reachable(start: Status) -> set[Status]:
    """What a run can become without being settled in between, over any number of changes."""
    seen: set[Status] = set()
    ahead = set(TRANSITIONS[start])
    while ahead - seen:
        seen |= ahead
        ahead = {after for status in ahead - SETTLED for after in TRANSITIONS[status]}
    return seen


@pytest.mark.parametrize("status", STATUSES)
def test_a_projection_follows_the_table_over_several_changes(status: Status) -> None:
    """`completed` may be the first that the index hears of a run since it was accepted."""
    sources = {
        source
        for source in STATUSES
        if source not in SETTLED and source != status and status in reachable(source)
    }

    assert leads_to(status) == tuple(sorted(sources))


def test_a_projection_takes_nothing_out_of_a_settled_status() -> None:
    assert not any(SETTLED & set(leads_to(status)) for status in STATUSES)
    assert leads_to("completed") == ("pending", "running", "waiting")
    assert leads_to("pending") == ()


@pytest.mark.parametrize(
    ("status", "asked"),
    [
        ("pending", ["cancel"]),
        ("running", ["cancel"]),
        ("waiting", ["cancel", "approve", "reject"]),
        ("completed", []),
        ("failed", ["retry"]),
        ("cancelled", ["retry"]),
    ],
)
def test_what_may_be_asked_of_a_run_follows_from_its_status(
    status: Status, asked: list[str]
) -> None:
    assert actions(status) == asked
