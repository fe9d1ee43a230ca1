"""The queue of accepted runs: whose turn it is, and how long it still takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.queue.executor import Job
from graph.queue.fair import FairQueue

#: What is done to a queue: a run of an owner comes, one is taken, one of those in it is withdrawn.
CHANGES = st.lists(
    st.tuples(st.just("append"), st.sampled_from("xyz"))
    | st.tuples(st.just("popleft"), st.none())
    | st.tuples(st.just("remove"), st.integers(0, 30)),
    max_size=60,
)


class Queue:
    """A queue of the jobs of some runs, by their ids."""

    def __init__(self) -> None:
        self._queue: FairQueue[Job] = FairQueue()
        self._jobs: dict[str, Job] = {}

    def __len__(self) -> int:
        return len(self._queue)

    def __contains__(self, run_id: str) -> bool:
        return self._job(run_id).queued

    def append(self, run_id: str, owner: str) -> None:
        self._queue.append(self._job(run_id), owner)

    def popleft(self) -> str:
        return self._queue.popleft().run_id

    def remove(self, run_id: str) -> bool:
        return self._queue.remove(self._job(run_id))

    def position(self, run_id: str) -> int | None:
        return self._queue.position(self._job(run_id))

    def clear(self) -> list[str]:
        return [job.run_id for job in self._queue.clear_new()]

    def _job(self, run_id: str) -> Job:
        return self._jobs.setdefault(run_id, Job(run_id))


def queue_of(*runs: tuple[str, str]) -> Queue:
    queue = Queue()
    for run_id, owner in runs:
        queue.append(run_id, owner)
    return queue


def drained(queue: Queue) -> list[str]:
    return [queue.popleft() for _ in range(len(queue))]


def after(changes: list[tuple[str, object]]) -> tuple[Queue, dict[str, str]]:
    """The queue after some changes, and the owners of the runs that must be in it."""
    queue, inside = Queue(), dict[str, str]()
    for number, (change, what) in enumerate(changes):
        if change == "append":
            inside[str(number)] = str(what)
            queue.append(str(number), str(what))
        elif change == "popleft" and inside:
            del inside[queue.popleft()]
        elif change == "remove":
            assert queue.remove(str(what)) == (inside.pop(str(what), None) is not None)
    return queue, inside


@given(CHANGES)
def test_the_position_is_the_number_of_turns_until_it_comes(
    changes: list[tuple[str, object]],
) -> None:
    """For every run, whatever was done to the queue before."""
    queue, inside = after(changes)
    positions = {run_id: queue.position(run_id) for run_id in inside}
    assert len(queue) == len(inside)
    assert all(run_id in queue for run_id in inside)
    assert positions == {run_id: turn for turn, run_id in enumerate(drained(queue), start=1)}


@given(CHANGES)
def test_each_owner_is_served_in_turn_and_in_order(changes: list[tuple[str, object]]) -> None:
    """Within a round no owner comes twice, and each one's runs come as they were accepted."""
    queue, inside = after(changes)
    order = drained(queue)
    for owner in set(inside.values()):
        own = [run_id for run_id in order if inside[run_id] == owner]
        assert own == sorted(own, key=int)
    owners = [inside[run_id] for run_id in order]
    for at, owner in enumerate(owners):
        if owner in owners[:at]:
            last = at - 1 - owners[:at][::-1].index(owner)
            others = set(owners[at:]) - {owner}
            assert others <= set(owners[last + 1 : at])


def test_few_runs_do_not_wait_for_anothers_many() -> None:
    queue = queue_of(*((f"a{n}", "a") for n in range(100)), ("b0", "b"), ("b1", "b"))
    assert queue.position("b1") == 4
    assert drained(queue)[:5] == ["a0", "b0", "a1", "b1", "a2"]


def test_an_owner_who_was_served_is_last_in_the_round() -> None:
    """Also when his next run comes only then."""
    queue = queue_of(("a0", "a"), ("b0", "b"))
    assert queue.popleft() == "a0"
    queue.append("a1", "a")
    assert drained(queue) == ["b0", "a1"]


def test_what_is_not_in_it_has_no_position() -> None:
    queue = queue_of(("a0", "a"))
    assert queue.position("b0") is None
    assert not queue.remove("b0")
    assert "b0" not in queue
    assert queue.clear() == ["a0"]
    assert (len(queue), queue.position("a0"), "a0" in queue) == (0, None, False)
    with pytest.raises(KeyError):
        queue.popleft()


def lanes(*entries: tuple[str, str, bool], alternating: bool = False) -> list[str]:
    """In which order these come, told by name, owner, and whether they have begun."""
    queue: FairQueue[Job] = FairQueue(alternating=alternating)
    for name, owner, begun in entries:
        queue.append(Job(name), owner, begun=begun)
    return [queue.popleft().run_id for _ in range(len(queue))]


def test_what_has_begun_comes_first_in_the_turn_of_its_owner() -> None:
    mixed = [("a1", "a", False), ("a2", "a", False), ("a3", "a", True), ("b1", "b", False)]
    assert lanes(*mixed) == ["a3", "b1", "a1", "a2"]


def test_where_they_alternate_neither_waits_for_all_of_the_other() -> None:
    new = [(f"new{number}", "a", False) for number in range(3)]
    begun = [(f"begun{number}", "a", True) for number in range(3)]
    order = ["begun0", "new0", "begun1", "new1", "begun2", "new2"]
    assert lanes(*new, *begun, alternating=True) == order
    assert lanes(*new, alternating=True) == ["new0", "new1", "new2"]


def test_who_may_begin_nothing_is_passed_by() -> None:
    """What has begun goes on."""
    queue: FairQueue[Job] = FairQueue()
    for name, owner, begun in (("a1", "a", False), ("a2", "a", True), ("b1", "b", False)):
        queue.append(Job(name), owner, begun=begun)
    assert queue.popleft(lambda _: False).run_id == "a2"
    assert queue.popleft(lambda owner: owner == "b").run_id == "b1"
    with pytest.raises(KeyError):
        queue.popleft(lambda _: False)
    assert (len(queue), queue.new, queue.new_of("a"), queue.length_of("b")) == (1, 1, 1, 0)
