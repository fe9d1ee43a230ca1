"""What two runs do not have in common: moment by moment, in their order."""

import copy
from typing import Any

from graph.record.diff import differences, in_words, moments
from graph.state import RunState
from tests.support.runs.run_states import attempted, completed, finished, planned, queued


def changed(state: RunState, edit: Any) -> RunState:
    """A copy of a state that was edited."""
    other = copy.deepcopy(state)
    edit(other)
    return other


def told(first: RunState, second: RunState) -> list[tuple[str, int | None, str, Any, Any]]:
    return [
        (one["what"], one["step"], one["path"], one["first"], one["second"])
        for one in differences(first, second)
    ]


def test_times_ids_and_a_resumption_are_no_difference() -> None:
    first = finished()

    def later(state: Any) -> None:
        state |= {"run_id": "another", "created_at": 0.0, "completed_at": 9.0, "paused": 3.0}
        for entry in state["log"]:
            entry |= {"started_at": 7.0, "duration_ms": 9.0, "retry_at": 8.0}
        mark = {"kind": "mark", "what": "taken_up", "at": 1.0, "by": "server", "detail": None}
        state["log"].insert(1, mark)

    assert differences(first, changed(first, later)) == []


def test_a_difference_is_told_at_its_place_in_a_value() -> None:
    first = finished(1)
    first["log"][0]["output"] = {"items": [{"text": "milk"}, {"text": "tea"}]}

    def other_item(state: Any) -> None:
        state["log"][0]["output"]["items"][1]["text"] = "eggs"

    def more_items(state: Any) -> None:
        state["log"][0]["output"]["items"].append({"text": "jam"})

    def other_name(state: Any) -> None:
        state["log"][0]["output"] = {"things": []}

    for edit, place in (
        (other_item, ("output", 1, "output.items[1].text", "tea", "eggs")),
        (more_items, ("output", 1, "output.items[2]", None, {"text": "jam"})),
    ):
        assert told(first, changed(first, edit)) == [place]
    [(_, _, path, value, nothing)] = told(first, changed(first, other_name))
    assert (path, nothing) == ("output.items", None)
    assert value == first["log"][0]["output"]["items"]


def test_what_only_one_of_them_has_done_is_told_in_its_order() -> None:
    whole = finished(3)
    part = completed(attempted(planned(queued(), 3)))

    found = differences(whole, part)

    assert [(one["what"], one["where"]) for one in found[:2]] == [
        ("order", "step 2, attempt 1"),
        ("order", "step 3, attempt 1"),
    ]
    assert [one["second"] for one in found[:2]] == [None, None]
    assert [one["where"] for one in differences(part, whole)[:2]] == [
        "step 2, attempt 1",
        "step 3, attempt 1",
    ]
    assert "the first has step 2, attempt 1" in in_words(found[0])


def test_a_plan_stands_before_its_first_attempt_and_the_end_last() -> None:
    where = [one.where for one in moments(finished(2))]

    assert where == [
        "planning call 1 of round 1",
        "step 1 as planned",
        "step 2 as planned",
        "round 1",
        "step 1, attempt 1",
        "step 2, attempt 1",
        "the end",
    ]


def test_what_a_model_was_asked_differs_only_where_both_tell_it() -> None:
    first = finished(1)
    first["planning_log"][0]["asked"] = "one"

    def asked(text: str) -> Any:
        return lambda state: state["planning_log"][0].update(asked=text)

    def untold(state: Any) -> None:
        del state["planning_log"][0]["asked"]

    assert told(first, changed(first, untold)) == []
    assert told(first, changed(first, asked("two"))) == [("asked", None, "asked", "one", "two")]


def test_a_long_value_is_shortened_in_words_and_whole_in_data() -> None:
    first = finished(1)
    second = changed(first, lambda state: state["log"][0].update(output="x" * 1000))

    [found] = [one for one in differences(first, second) if one["step"] == 1]

    assert found["second"] == "x" * 1000
    assert len(in_words(found)) < 400
