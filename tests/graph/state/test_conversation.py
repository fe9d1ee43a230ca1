"""What a run is given of the runs before it in its thread."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.state import (
    DEFAULT_LIMITS,
    THREAD_CONTEXT,
    TURN,
    Conversation,
    RunState,
    conversation_of,
    followed,
    new_run,
    referent_of,
    run_error,
    turn_of,
)
from graph.state.row import LARGEST_REFERENT


def ran(
    prompt: str = "what is 6 times 7", output: Any = 42, *, run_id: str = "r", **fields: Any
) -> RunState:
    """A run of one step that has completed with this output."""
    state: Any = new_run(prompt, run_id=run_id, owner="o", limits=DEFAULT_LIMITS, created_at=1.0)
    done = {"kind": "attempt", "step": 1, "tool": "calculator", "status": "ok", "output": output}
    result = {"output": output, "summary": f"1 step done; the result is {output}", "answer": None}
    return {**state, "status": "completed", "log": [done], "result": result, **fields}


def failed(message: str = "step 1 failed", status: str = "failed") -> RunState:
    return ran(status=status, result=None, error=run_error("step_failed", message), log=[])


def before(
    newest_first: Sequence[RunState], *, characters: int, total: int | None = None
) -> Conversation:
    """What a run is given that comes after these."""
    turns = [turn_of(state, characters) for state in newest_first]
    last = referent_of(newest_first[0]) if newest_first else None
    return conversation_of(turns, last, characters=characters, total=total)


def test_turns_come_oldest_first_with_what_was_said() -> None:
    answered = ran("what is on it", result={"output": [], "summary": "s", "answer": {"text": "No"}})
    conversation = before([answered, failed("gone"), ran()], characters=THREAD_CONTEXT)

    assert [(turn["text"], turn["source"], turn["status"]) for turn in conversation["turns"]] == [
        ("1 step done; the result is 42", "summary", "completed"),
        ("gone", "error", "failed"),
        ("No\n(s)", "answer", "completed"),
    ]
    assert [turn["prompt"] for turn in conversation["turns"]][::2] == [
        "what is 6 times 7",
        "what is on it",
    ]


def test_our_summary_stays_below_an_answer_that_is_cut() -> None:
    """Or what a model only claims to have done would pass for a fact."""
    nothing = "answered without tools; nothing was done"
    result = {"output": None, "summary": nothing, "answer": {"text": "Bought. " * 900}}
    for characters in (THREAD_CONTEXT, 1_200):
        [turn] = before([ran(result=result)], characters=characters)["turns"]
        assert turn["text"].startswith("Bought.")
        assert turn["text"].endswith(f"\n({nothing})")
        assert len(turn["text"]) <= min(3_000, characters // 6)


def test_without_earlier_runs_there_is_nothing() -> None:
    assert before([], characters=100) == {"turns": [], "left_out": 0, "last": None}


def test_it_is_what_the_last_run_returned_and_nothing_after_one_that_failed() -> None:
    conversation = before([ran(run_id="b"), failed()], characters=100)
    assert conversation["last"] == {"run_id": "b", "tool": "calculator", "output": 42}
    for unsuccessful in (failed(), failed(status="cancelled")):
        assert before([unsuccessful, ran()], characters=100)["last"] is None
    incomplete = ran(status="failed", error=run_error("incomplete", "gave up", reason="gave_up"))
    assert before([incomplete], characters=100)["last"] is None


def test_it_is_of_the_last_step_that_was_done_and_kept() -> None:
    log = [
        {"kind": "attempt", "step": 1, "tool": "a", "status": "ok", "output": 1},
        {"kind": "attempt", "step": 2, "tool": "b", "status": "ok", "output": 2},
        {"kind": "attempt", "step": 3, "tool": "c", "status": "error", "output": None},
    ]
    conversation = before([ran(output=1, log=log, skipped=[2])], characters=100)
    assert conversation["last"] == {"run_id": "r", "tool": "a", "output": 1}

    said = {"kind": "mark", "what": "resolved", "as": "done", "step": 1, "output": 1}
    plan = {"steps": [{"step": 1, "tool": "paid"}]}
    conversation = before([ran(output=1, log=[said], plan=plan)], characters=100)
    assert conversation["last"] == {"run_id": "r", "tool": "paid", "output": 1}


def test_an_output_that_is_too_large_is_no_it() -> None:
    within = "x" * (LARGEST_REFERENT - 2)
    fitting = before([ran(output=within)], characters=100)["last"]
    assert fitting is not None
    assert fitting["output"] == within
    assert before([ran(output=within + "x")], characters=100)["last"] is None
    assert before([ran(output="é" * (LARGEST_REFERENT // 2))], characters=9)["last"] is None


def test_what_is_long_is_cut_and_says_how_long_it_was() -> None:
    [turn] = before([ran("p" * 9_000)], characters=THREAD_CONTEXT)["turns"]
    assert turn["prompt"].endswith("p… (cut; it has 9000 characters)")
    assert len(turn["prompt"]) == 1_000


def test_short_turns_count_for_more_than_their_words() -> None:
    """Each has an id and the names of its fields, in the state and before a model."""
    conversation = before([ran("x", 1) for _ in range(100)], characters=1_000)
    assert len(conversation["turns"]) <= 1_000 // TURN
    assert conversation["left_out"] + len(conversation["turns"]) == 100


def test_oldest_are_left_out_in_blocks_so_that_prompts_begin_alike() -> None:
    firsts = []
    for count in range(1, 80):
        runs = [ran("x" * 50, run_id=str(number)) for number in range(count)][::-1]
        conversation = before(runs, characters=5_000)
        assert len(conversation["turns"]) >= min(count, 12)
        firsts.append(conversation["turns"][0]["run_id"])
    changes = [now for before, now in pairwise(firsts) if now != before]
    assert changes == ["8", "16", "24", "32", "40", "48", "56"]


texts = st.text(max_size=400)
runs = st.lists(
    st.one_of(
        st.builds(ran, st.text(min_size=1, max_size=3_000), st.integers() | texts),
        st.builds(failed, texts),
    ),
    max_size=40,
)


@given(runs, st.integers(0, 5_000), st.booleans())
def test_a_conversation_never_exceeds_its_bound_and_counts_every_run(
    earlier: list[RunState], characters: int, counted: bool
) -> None:
    total = len(earlier) if counted else None
    conversation = before(earlier, characters=characters, total=total)
    turns = conversation["turns"]

    sizes = [TURN + len(turn["prompt"]) + len(turn["text"]) for turn in turns]
    assert sum(sizes) <= characters
    assert conversation["left_out"] + len(turns) == len(earlier)
    assert json.loads(json.dumps(conversation)) == conversation


@given(runs.filter(bool), st.integers(500, 3_000))
def test_run_after_run_of_one_thread_is_the_same_as_all_at_once(
    earlier: list[RunState], characters: int
) -> None:
    """As far as it is shown: what was left out once does not come back."""
    state: Any = {}
    for one in earlier:
        conversation = followed(state, characters=characters)
        state = {**one, "asked": one["prompt"], "prompt": "the next"}
        if conversation is not None:
            state["conversation"] = conversation
    grown = followed(state, characters=characters)
    assert grown is not None
    at_once = before(earlier[::-1], characters=characters)

    assert grown["last"] == at_once["last"]
    assert grown["left_out"] + len(grown["turns"]) == len(earlier)
    shown = min(len(grown["turns"]), len(at_once["turns"]))
    assert grown["turns"][-shown:] == at_once["turns"][-shown:]
    assert shown >= min(len(earlier), 1)


@pytest.mark.parametrize("status", ["pending", "running", "waiting"])
def test_a_run_that_has_not_ended_leaves_nothing_to_refer_to(status: str) -> None:
    first = {**ran(), "asked": "what is 6 times 7"}
    given = followed(first, characters=THREAD_CONTEXT)
    assert given is not None
    unsettled = {**ran(status=status), "asked": "and 8?", "conversation": given}

    assert followed(unsettled, characters=THREAD_CONTEXT) == {**given, "last": None}
    assert followed({**ran(status=status), "asked": "and 8?"}, characters=99) is None


def test_it_is_none_of_several_records_that_a_run_has_made() -> None:
    def added(*ids: str) -> RunState:
        steps = [{"step": at, "tool": "todo_store.add"} for at in range(1, len(ids) + 1)]
        log = [
            {"kind": "attempt", **step, "status": "ok", "output": {"id": made}}
            for step, made in zip(steps, ids, strict=True)
        ]
        plan: Any = {"steps": steps}
        return ran(output={"id": ids[-1]}, log=log, plan=plan)

    assert before([added("a", "b")], characters=100)["last"] is None
    for one in (added("a"), added("a", "a")):
        last = before([one], characters=100)["last"]
        assert last is not None
        assert last["output"] == {"id": "a"}
