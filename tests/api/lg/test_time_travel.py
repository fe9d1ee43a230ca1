"""Going back to a checkpoint of a thread, and on from there."""

import pytest
from langgraph_sdk.errors import (
    BadRequestError,
    ConflictError,
    NotFoundError,
    UnprocessableEntityError,
)

PROMPT = {"prompt": "add a todo to buy milk, then calculate 6 * 7"}


def before_step(lg, thread, step):
    """The checkpoint at which this step is due."""
    return next(
        entry
        for entry in lg.threads.get_history(thread, limit=100)
        if entry["next"] == ["execute_step"] and entry["values"]["run"]["cursor"] == step - 1
    )


def test_a_run_from_a_checkpoint_goes_on_there_and_does_nothing_twice(lg, thread):
    lg.runs.wait(thread, "runwright", input=PROMPT)
    at = before_step(lg, thread, 2)
    values = lg.runs.wait(thread, "runwright", checkpoint=at["checkpoint"])

    assert values["result"]["output"] == 42
    assert [entry["step"] for entry in values["log"]] == [1, 2]
    history = lg.threads.get_history(thread, limit=100)
    own = [one for one in history if one["metadata"]["run_id"] == values["run"]["run_id"]]
    assert own[-1]["parent_checkpoint"] == at["checkpoint"]
    assert [message["type"] for message in values["messages"]] == [
        *("human", "ai", "tool", "tool", "ai")
    ]
    assert lg.threads.get_state(thread)["values"] == values
    assert [run["status"] for run in lg.runs.list(thread)] == ["success", "success"]


def test_another_task_from_the_end_of_a_run_leaves_out_what_came_after_it(lg, thread):
    """As a chat page does whose user edits an earlier message."""
    for prompt in ("calculate 1 + 1", "calculate 2 + 2"):
        lg.runs.wait(thread, "runwright", input={"prompt": prompt})
    history = lg.threads.get_history(thread, limit=100)
    end = next(one for one in history if one["values"]["prompt"] == "calculate 1 + 1")
    asked = {"messages": [{"type": "human", "content": "double it"}]}
    values = lg.runs.wait(thread, "runwright", input=asked, checkpoint=end["checkpoint"])

    assert values["result"]["output"] == 4
    said = [one["content"] for one in values["messages"] if one["type"] == "human"]
    assert said == ["calculate 1 + 1", "double it"]


def test_a_thread_whose_run_failed_goes_on_without_an_input(lg, thread):
    run = lg.runs.create(thread, "runwright", input={"prompt": "pass gate retried"})
    lg.runs.cancel(thread, run["run_id"], wait=True)
    again = lg.runs.create(thread, "runwright", input=None)
    assert again["run_id"] == run["run_id"]
    lg.runs.cancel(thread, run["run_id"], wait=True)


def test_a_thread_that_has_ended_has_nothing_to_go_on_with(lg, thread):
    with pytest.raises(UnprocessableEntityError):
        lg.runs.create(thread, "runwright", input=None)
    lg.runs.wait(thread, "runwright", input=PROMPT)
    with pytest.raises(UnprocessableEntityError):
        lg.runs.create(thread, "runwright", input=None)
    with pytest.raises(ConflictError):
        lg.runs.create(thread, "runwright", command={"resume": True})


def test_a_checkpoint_of_another_thread_is_not_found(lg, thread):
    lg.runs.wait(thread, "runwright", input=PROMPT)
    at = before_step(lg, thread, 2)["checkpoint"]["checkpoint_id"]
    other = lg.threads.create()["thread_id"]
    lg.runs.wait(other, "runwright", input=PROMPT)
    with pytest.raises(NotFoundError):
        lg.runs.create(other, "runwright", checkpoint_id=at)
    with pytest.raises(NotFoundError):
        lg.threads.get_state(other, checkpoint_id=at)


def test_a_state_is_edited_and_the_thread_goes_on_from_it_without_an_input(lg, thread):
    lg.runs.wait(thread, "runwright", input=PROMPT)
    at = before_step(lg, thread, 2)
    plan = at["values"]["plan"]
    plan["steps"][1]["input"] = {"expression": "6 * 8"}
    told = lg.threads.update_state(thread, {"plan": plan}, checkpoint=at["checkpoint"])

    state = lg.threads.get_state(thread)
    assert state["checkpoint"] == told["checkpoint"]
    assert state["next"] == ["execute_step"]
    assert state["values"]["plan"]["steps"][1]["input"] == {"expression": "6 * 8"}
    values = lg.runs.wait(thread, "runwright", checkpoint=told["checkpoint"])
    assert values["result"]["output"] == 48
    assert [entry["step"] for entry in values["log"] if entry["kind"] == "attempt"] == [1, 2]


def test_a_step_is_done_again_where_the_cursor_is_set_before_it(lg, thread):
    lg.runs.wait(thread, "runwright", input=PROMPT)
    lg.threads.update_state(thread, {"run": {"cursor": 1}})
    assert lg.threads.get_state(thread)["next"] == ["execute_step"]
    assert lg.runs.wait(thread, "runwright")["result"]["output"] == 42


@pytest.mark.parametrize(
    "values",
    [
        {"prompt": "another"},
        {"messages": []},
        {"plan": {"steps": "all"}},
        {"run": {"status": "completed"}},
        [],
    ],
)
def test_a_state_that_no_run_can_go_on_from_is_refused(lg, thread, values):
    lg.runs.wait(thread, "runwright", input=PROMPT)
    with pytest.raises(UnprocessableEntityError):
        lg.threads.update_state(thread, values)
    assert len(lg.runs.list(thread)) == 1


def test_an_edited_plan_that_must_not_be_executed_is_refused(lg, thread):
    lg.runs.wait(thread, "runwright", input=PROMPT)
    at = before_step(lg, thread, 2)["checkpoint"]
    plan = {"steps": [{"tool": "rm", "input": {"path": "/"}}]}
    with pytest.raises(BadRequestError):
        lg.threads.update_state(thread, {"plan": plan}, checkpoint=at)
