"""Settled runs are kept in memory for who reads them, and never told as they were before."""

from typing import cast

from graph.runs.live import SettledRuns
from graph.state import DEFAULT_LIMITS, RunState, Status, new_run


def state(run_id: str, status: Status = "completed", *, owner: str = "ada") -> RunState:
    begun = new_run("do it", run_id=run_id, owner=owner, limits=DEFAULT_LIMITS, created_at=0.0)
    return cast("RunState", {**begun, "status": status, "log": []})


def test_a_settled_state_is_kept_for_its_owner_only():
    runs = SettledRuns(10**6)
    runs.keep(state("1"))
    assert runs.find("1", "eve") is None
    assert runs.find("1", "ada") is runs.find("1", None) is not None
    assert runs.state("1") == state("1")


def test_a_run_that_goes_on_is_kept_no_longer():
    runs = SettledRuns(10**6)
    for status in ("completed", "pending", "running"):
        runs.keep(state("1", status))
    assert runs.find("1", "ada") is None


def test_a_record_takes_the_place_of_the_state():
    runs = SettledRuns(10**6)
    runs.keep(state("1"))
    found = runs.find("1", "ada")
    assert found is not None
    runs.encode(found, b"{")
    assert runs.state("1") is None
    again = runs.find("1", "ada")
    assert again is not None
    assert again.encoded == b"{"


def test_a_record_of_before_the_run_went_on_is_not_kept():
    runs = SettledRuns(10**6)
    runs.keep(state("1"))
    before = runs.find("1", "ada")
    assert before is not None
    runs.keep(state("1", "running"))
    runs.keep(state("1", "failed"))
    runs.encode(before, b"{")
    found = runs.find("1", "ada")
    assert found is not None
    assert found.encoded is None


def test_what_was_read_while_the_run_was_told_to_go_on_is_not_kept():
    runs = SettledRuns(10**6)
    begun = runs.begin_reading("1")
    runs.keep(state("1", "pending"))
    runs.keep_read(state("1"), begun)
    runs.end_reading("1", begun)
    assert runs.find("1", "ada") is None


def test_what_was_read_is_kept():
    runs = SettledRuns(10**6)
    begun = runs.begin_reading("1")
    runs.keep_read(state("1"), begun)
    runs.end_reading("1", begun)
    assert runs.find("1", "ada") is not None


def test_they_are_bounded_in_bytes_and_those_read_last_stay():
    probe = SettledRuns(10**6)
    probe.keep(state("1"))
    found = probe.find("1", None)
    assert found is not None
    runs = SettledRuns(2 * found.size)
    for run_id in "12":
        runs.keep(state(run_id))
    runs.find("1", "ada")
    runs.keep(state("3"))
    assert [run_id for run_id in "123" if runs.find(run_id, None)] == ["1", "3"]


def test_one_that_is_larger_than_all_may_be_is_not_kept():
    runs = SettledRuns(10)
    runs.keep(state("1"))
    assert runs.find("1", None) is None
    runs.keep(state("2"))


def test_without_room_nothing_is_kept():
    runs = SettledRuns()
    runs.keep(state("1"))
    assert runs.find("1", None) is None
