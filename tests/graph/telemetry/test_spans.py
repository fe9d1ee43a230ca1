"""The spans of a run follow from its state, and have the same ids whenever they are made."""

from typing import Any, cast

import pytest

from graph.build import build_graph
from graph.record.generations import checked_traceparent, generations, root
from graph.runs.recovery import thread
from graph.state import Channels, Mark, RunState, attempts, whole
from graph.state.status import SETTLED
from graph.storage.open import open_storage
from graph.telemetry.spans import Exported, Span, spans
from tests.support.runs.run_states import attempted, cancelled, completed, planned, queued
from tests.support.stored.stored_runs import unpack


def course() -> list[RunState]:
    """The states of a run of two steps, of which the first was tried twice."""
    states = [queued("what is it?", run_id="8a2f6c3e-8f0d-4a39-9a52-2f7e0a4b8a11")]
    states.append(planned(states[-1]))
    states.append(attempted(states[-1], status="error", output=None, error=FAULT))
    states.append(attempted(states[-1]))
    states.append(attempted(states[-1]))
    return [*states, completed(states[-1])]


FAULT = {"type": "OSError", "message": "no", "retryable": True}


def named(state: RunState) -> dict[str, Span]:
    return {span.name: span for span in spans(state)}


def test_a_run_is_the_root_of_its_attempts_plans_and_waits():
    state = course()[-1]
    told = [*spans(state)]
    (whole_run,) = [span for span in told if span.parent is None]

    assert whole_run.place == root(state["run_id"], 0)
    assert (whole_run.start, whole_run.end) == (state["created_at"], state["completed_at"])
    (plan,) = [span for span in told if span.name == "plan"]
    (call,) = [span for span in told if span.name == "plan by patterns"]
    assert call.parent == plan.place
    assert {span.parent for span in told} == {None, whole_run.place, plan.place}
    assert {span.place.trace_id for span in told} == {whole_run.place.trace_id}
    tried = [span for span in told if span.name == "execute_tool notes.add"]
    assert [span.error for span in tried] == ["OSError", None, None]
    assert [span.attributes["runwright.attempt"] for span in tried] == [1, 2, 1]
    assert [span.end - span.start for span in tried] == [0.25] * 3


def test_what_is_under_way_is_not_told():
    states = course()
    assert [*spans(states[0])] == []
    assert [span.name for span in spans(states[1])] == ["plan by patterns", "plan"]
    assert len([*spans(states[3])]) == 4


def test_told_piece_by_piece_it_is_the_same():
    pieces: list[Span] = []
    after = Exported()
    for state in course():
        pieces += spans(state, after=after)
        after = Exported(len(state["log"]), len(state["planning_log"]))

    whole_run = [*spans(course()[-1])]
    assert sorted(pieces, key=str) == sorted(whole_run, key=str)


def test_contents_are_told_only_where_that_is_wanted():
    state = course()[-1]
    assert "note 1" not in str([*spans(state)])
    assert "what is it?" not in str([*spans(state)])
    wanted = str([*spans(state, contents=True)])
    assert "note 1" in wanted
    assert "what is it?" in wanted


def test_a_retry_is_a_trace_of_its_own_that_links_to_the_one_before():
    before = cancelled(course()[2])
    ended: Any = {
        **{name: before.get(name) for name in ("status", "error", "usage", "planned_by")},
        **{"steps": 2, "planned": 1, "generation": 0},
        **{"started_at": before["started_at"], "completed_at": before["completed_at"]},
    }
    retry = {"from_step": 1, "input": None, "skip": [], "generation": 1, "ended": ended}
    mark = cast(
        "Mark", {"kind": "mark", "what": "retry", "at": 1_700_000_100.0, "by": "me", "retry": retry}
    )
    again: Any = {**before, "log": [*before["log"], mark], "generation": 1, "status": "running"}
    again = {**again, "error": None, "started_at": 1_700_000_101.0}
    again = attempted(again, generation=1, started_at=1_700_000_102.0)
    again = completed(attempted(again, generation=1, started_at=1_700_000_103.0))
    again = {**again, "completed_at": 1_700_000_104.0}
    told = [*spans(again)]

    first, second = (root(again["run_id"], number) for number in (0, 1))
    roots = {span.place: span for span in told if span.parent is None}
    assert roots[first].links == ()
    assert roots[second].links == (first,)
    assert roots[second].start == 1_700_000_100.0
    assert first.trace_id != second.trace_id
    assert {span.place for span in spans(before)} <= {span.place for span in told}


def test_a_fork_links_to_its_origin():
    fork: Any = {
        "run_id": "0c9e3d2a-6d75-4a51-b7a5-5f0e6f1c2b3d",
        "from_step": 2,
        "skip": [],
        "logged": 2,
        "planned": 1,
        "rounds": 1,
    }
    state = cast("RunState", {**course()[-1], "forked_from": fork})
    told = [*spans(state)]

    (whole_run,) = [span for span in told if span.parent is None]
    assert whole_run.links == (root(fork["run_id"], 0),)
    assert [span.name for span in told if span.name.startswith("execute_tool")] == [
        "execute_tool notes.add"
    ]


@pytest.mark.parametrize("name", ["settled", "unfinished"])
async def test_stored_runs_of_every_kind_have_spans(name, tmp_path):
    """Each attempt one, with a parent that is there as soon as the run has ended."""
    unpack(name, tmp_path)
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        graph = build_graph({}, checkpointer=storage.reader, input_schema=Channels)
        settled = await storage.index.settled_last(1e12, limit=1_000)
        rows = [*settled, *await storage.index.unsettled()]
        states = [whole((await graph.aget_state(thread(row.run_id))).values) for row in rows]
    assert len(states) > 5
    for state in (state for state in states if state):
        told = [*spans(state)]
        places = {span.place for span in told}
        assert len(places) == len(told), state["run_id"]
        if state["status"] in SETTLED:
            assert {span.parent for span in told if span.parent} <= places
        made = len(attempts(state)) - (
            sum(entry["kind"] == "attempt" for entry in state["log"][: fork["logged"]])
            if (fork := state["forked_from"])
            else 0
        )
        assert sum(span.name.startswith("execute_tool") for span in told) == made
        ended = [one for one in generations(state) if one.state["status"] in SETTLED]
        assert sum(span.parent is None for span in told) == len(ended)
        assert all(span.start <= span.end for span in told)


def test_a_call_of_an_mcp_server_is_a_child_of_the_attempt():
    end = course()[-1]
    [first, *others] = end["plan"]["steps"]
    steps = [{**first, "tool": "files.read", "definition": "x"}, *others]
    log = [
        {**entry, "tool": "files.read"} if entry.get("step") == 1 else entry for entry in end["log"]
    ]
    made = [*spans(cast("RunState", {**end, "plan": {**end["plan"], "steps": steps}, "log": log}))]
    calls = [span for span in made if span.name == "tools/call read"]
    tried = [span for span in made if span.name == "execute_tool files.read"]

    assert [call.parent for call in calls] == [attempt.place for attempt in tried]
    assert [call.kind for call in calls] == ["client", "client"]
    assert [call.error for call in calls] == ["OSError", None]
    assert len({span.place for span in made}) == len(made)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (f"00-{'a' * 32}-{'b' * 16}-01", f"00-{'a' * 32}-{'b' * 16}-01"),
        (f"01-{'a' * 32}-{'b' * 16}-00-more", f"00-{'a' * 32}-{'b' * 16}-00"),
        (f"00-{'0' * 32}-{'b' * 16}-01", None),
        (f"00-{'a' * 32}-{'0' * 16}-01", None),
        (f"ff-{'a' * 32}-{'b' * 16}-01", None),
        (f"00-{'A' * 32}-{'b' * 16}-01", None),
        ("", None),
        (None, None),
    ],
)
def test_what_a_caller_says_of_its_trace_is_taken_over_where_it_is_understood(said, kept):
    assert checked_traceparent(said) == kept
