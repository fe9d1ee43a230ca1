"""The run index: what is kept of a run beside its checkpoints, the same on every backend."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from graph.state import DEFAULT_LIMITS, Choice, Status
from graph.state.row import ApprovalAnswer, DoubtAnswer, RunRow
from graph.state.run import Facts
from graph.storage.search import Search
from graph.storage.storage import RunIndex, Storage


@pytest.fixture
def index(storage: Storage) -> RunIndex:
    return storage.index


def row(run_id: str, **fields: Any) -> RunRow:
    given: dict[str, Any] = {
        "owner": "me",
        "prompt": "Grüße \N{WAVING HAND SIGN}",
        "created_at": 1.5,
    } | fields
    return RunRow(run_id=run_id, limits=DEFAULT_LIMITS, **given)


async def status(index: RunIndex, run_id: str) -> str:
    found = await index.find(run_id)
    assert found is not None
    return found.status


async def newest(index: RunIndex, limit: int, owner: str = "me") -> list[str]:
    return [found.run_id for found in (await index.search(owner, Search(limit=limit))).rows]


async def project(index: RunIndex, run_id: str, status: Status) -> bool:
    return await index.project(run_id, status, started_at=2.0, completed_at=None)


async def test_an_accepted_run_is_found_as_it_was_accepted(index: RunIndex) -> None:
    accepted = row("a", started_at=2.0, completed_at=3.25, starts=2, checkpoint_id="c")
    await index.accept(accepted)

    assert await index.find("a") == accepted
    assert await index.find("b") is None


async def test_what_a_run_was_given_is_found_as_it_was_given(storage: Storage) -> None:
    """And counts for what its owner keeps."""
    choice = Choice(model="a/one", instructions="Be brief." * 100, tools=["calculator"])
    given = row("a", choice=choice, metadata={"team": "röd"})
    await storage.index.accept(given)
    await storage.index.accept(row("b", owner="you"))

    kept = [(await storage.index.kept(owner)).bytes for owner in ("me", "you")]
    assert await storage.index.find("a") == given
    assert kept[0] - kept[1] > 900


async def test_the_newest_runs_come_first_in_the_order_of_acceptance(index: RunIndex) -> None:
    """Clocks go back; the order in which runs were accepted does not."""
    for number in range(5):
        await index.accept(row(str(number), created_at=float(-number)))
    await project(index, "1", "running")

    assert await newest(index, 3) == ["4", "3", "2"]
    assert await newest(index, 50) == ["4", "3", "2", "1", "0"]


async def test_the_runs_of_an_owner_are_theirs_alone(index: RunIndex) -> None:
    for number in range(6):
        await index.accept(row(str(number), owner="me" if number % 2 else "you"))

    assert await newest(index, 2, "me") == ["5", "3"]
    assert await newest(index, 50, "you") == ["4", "2", "0"]
    assert await newest(index, 50, "M") == await newest(index, 50, "") == []
    asked = [("1", "me"), ("1", "you"), ("1", ""), ("1", None), ("7", "me"), ("7", None)]
    assert [await index.owned(*one) for one in asked] == [True, False, False, True, False, False]


async def test_what_is_not_settled_is_listed_oldest_first(index: RunIndex) -> None:
    statuses: tuple[Status, ...] = (
        "pending",
        "running",
        "completed",
        "waiting",
        "failed",
        "cancelled",
    )
    for value in statuses:
        await index.accept(row(value, status=value))

    assert [found.run_id for found in await index.unsettled()] == ["pending", "running", "waiting"]


async def test_a_change_says_whether_it_happened(index: RunIndex) -> None:
    await index.accept(row("a"))

    assert await index.project("a", "running", started_at=2.0, completed_at=None)
    assert not await index.project("a", "running", started_at=9.0, completed_at=9.0)
    assert await index.project("a", "completed", started_at=2.0, completed_at=3.0)
    assert not await project(index, "nobody", "running")
    assert await index.find("a") == row("a", status="completed", started_at=2.0, completed_at=3.0)


async def test_a_change_may_skip_those_that_were_never_written(index: RunIndex) -> None:
    await index.accept(row("a"))

    assert await project(index, "a", "completed")


@pytest.mark.parametrize("settled", ["completed", "failed", "cancelled"])
async def test_a_settled_run_never_changes(index: RunIndex, settled: Status) -> None:
    await index.accept(row("a", status=settled))
    changes: tuple[Status, ...] = ("pending", "running", "waiting", "completed", "failed")

    assert not any([await project(index, "a", change) for change in changes])
    assert await index.find("a") == row("a", status=settled)


async def test_of_changes_at_once_one_happens(index: RunIndex) -> None:
    await index.accept(row("a"))
    ends: list[Status] = ["completed", "failed", "cancelled"]
    happened = await asyncio.gather(*(project(index, "a", end) for end in ends))

    assert sum(happened) == 1
    assert await status(index, "a") == ends[happened.index(True)]


async def test_starts_are_noted_beside_the_rest(index: RunIndex) -> None:
    await index.accept(row("a"))
    await index.note_start("a", starts=3, checkpoint_id="c")

    noted = replace(row("a"), starts=3, checkpoint_id="c", facts=Facts(taken_up=1))
    assert await index.find("a") == noted


async def test_a_run_that_is_to_be_cancelled_is_marked(index: RunIndex) -> None:
    """It stays what it is until it is settled; the mark is found by the next process."""
    await index.accept(row("a"))
    await index.accept(row("b"))

    assert await index.request_cancel("a", at=5.5, by="me")
    assert await index.unsettled() == [row("a", cancel_at=5.5, cancel_by="me"), row("b")]
    assert await index.project("a", "running", started_at=2.0, completed_at=None)
    assert await index.project("a", "cancelled", started_at=2.0, completed_at=6.0)
    settled = row(
        "a",
        status="cancelled",
        started_at=2.0,
        completed_at=6.0,
        cancel_at=5.5,
        cancel_by="me",
    )
    assert await index.find("a") == settled


async def test_of_several_requests_to_cancel_the_first_one_counts(index: RunIndex) -> None:
    """The later ones are told that the run is marked, as it is."""
    await index.accept(row("a"))
    asked = await asyncio.gather(
        *(index.request_cancel("a", at=float(at), by=f"{at}") for at in range(1, 4))
    )

    assert asked == [True] * 3
    assert await index.find("a") == row("a", cancel_at=1.0, cancel_by="1")


@pytest.mark.parametrize("status", ["pending", "running", "waiting"])
async def test_whatever_is_not_settled_can_be_marked(index: RunIndex, status: Status) -> None:
    await index.accept(row("a", status=status))

    assert await index.request_cancel("a", at=5.5, by="me")


@pytest.mark.parametrize("settled", ["completed", "failed", "cancelled"])
async def test_a_settled_run_is_not_marked(index: RunIndex, settled: Status) -> None:
    """Nor is one that there is not."""
    await index.accept(row("a", status=settled))

    assert not await index.request_cancel("a", at=5.5, by="me")
    assert not await index.request_cancel("nobody", at=5.5, by="me")
    assert await index.find("a") == row("a", status=settled)


async def test_a_storage_that_can_be_written_passes_its_check(storage: Storage) -> None:
    await storage.check()


DECISION: ApprovalAnswer = {"what": "approved", "at": 5.0, "by": "me", "reason": None, "plan": None}


async def test_a_run_has_one_decision_until_it_is_forgotten(index: RunIndex) -> None:
    await index.accept(row("a", status="waiting", approve="always"))
    rejected: ApprovalAnswer = {
        **DECISION,
        "what": "rejected",
        "reason": "no",
        "plan": {"steps": []},
    }

    assert await index.decide("a", rejected)
    assert not await index.decide("a", DECISION)
    assert (found := await index.find("a")) is not None
    assert (found.approve, found.approval_answer) == ("always", rejected)
    await index.forget_approval_answer("a")
    assert await index.decide("a", DECISION)


async def test_a_run_that_is_settled_or_to_be_cancelled_has_nothing_to_be_decided(
    index: RunIndex,
) -> None:
    for value in ("completed", "failed", "cancelled"):
        await index.accept(row(value, status=value))
        assert not await index.decide(value, DECISION)
    await index.accept(row("a", status="waiting"))
    await index.request_cancel("a", at=1.0, by="me")

    assert not await index.decide("a", DECISION)
    assert not await index.decide("nobody", DECISION)


async def test_only_waiting_runs_that_nobody_decided_about_expire_earliest_first(
    index: RunIndex,
) -> None:
    for run_id, status, at in (
        ("later", "waiting", 3.0),
        ("early", "waiting", 1.0),
        ("not yet", "waiting", 9.0),
        ("decided", "waiting", 1.0),
        ("cancelling", "waiting", 1.0),
        ("running", "running", 1.0),
    ):
        await index.accept(row(run_id, status=status))
        await index.note_expiry(run_id, at)
    await index.accept(row("never asked", status="waiting"))
    await index.decide("decided", DECISION)
    await index.request_cancel("cancelling", at=1.0, by="me")

    assert await index.expired(5.0, 10) == ["early", "later"]
    assert await index.expired(5.0, 1) == ["early"]


def answer(question: int, **fields: Any) -> DoubtAnswer:
    given: Any = {"what": "resolved", "question": question, "as": "redo", "output": None}
    return given | {"at": 1.0, "by": "me", "learned": None} | fields  # type: ignore[no-any-return]


async def test_a_step_in_doubt_is_decided_about_once_for_each_time_it_is_asked(
    index: RunIndex,
) -> None:
    await index.accept(row("a", status="waiting"))
    await index.decide("a", DECISION)
    await index.note_expiry("a", 9.0, 3)

    assert (found := await index.find("a")) is not None
    assert (found.question, found.approval_answer) == (3, None)
    assert await index.resolve("a", answer(3), generation=0)
    assert not await index.resolve("a", answer(3, by="another"), generation=0)
    assert not await index.decide("a", DECISION)
    await index.note_expiry("a", 9.0, 3)
    assert (found := await index.find("a")) is not None
    assert found.approval_answer == answer(3)
    assert await index.resolve("a", answer(5), generation=0)  # asked again, not yet noted


async def test_a_late_answer_to_an_earlier_question_changes_nothing(index: RunIndex) -> None:
    await index.accept(row("a", status="waiting"))
    await index.note_expiry("a", 9.0, 5)

    assert not await index.resolve("a", answer(3), generation=0)
    assert not await index.resolve("a", answer(5), generation=1)
    assert (found := await index.find("a")) is not None
    assert (found.question, found.approval_answer) == (5, None)


async def test_what_was_learned_is_kept_in_the_row(index: RunIndex) -> None:
    learned: Any = {"generation": 0, "step": 1, "attempt": 1, "ended": "returned", "at": 1.0}
    await index.accept(row("a", status="waiting"))
    await index.note_learned("a", learned)

    assert (found := await index.find("a")) is not None
    assert found.learned == learned
