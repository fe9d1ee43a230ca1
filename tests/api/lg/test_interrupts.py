"""What runs ask a person: raised as interrupts, and answered as Studio answers them."""

import pytest
from langgraph_sdk.errors import ConflictError, UnprocessableEntityError

ASKING = {"context": {"approve": True}}
PROMPT = {"prompt": "calculate 6 * 7"}


def asked(lg, thread):
    """A thread that asks about a plan, and its question."""
    lg.runs.wait(thread, "runwright", input=PROMPT, **ASKING)
    [question] = lg.threads.get_state(thread)["interrupts"]
    return question


def test_a_plan_is_asked_about_with_what_fits_as_an_answer(lg, thread):
    values = lg.runs.wait(thread, "runwright", input=PROMPT, **ASKING)

    [question] = values["__interrupt__"]
    assert question["value"]["plan"]["steps"][0]["input"] == {"expression": "6 * 7"}
    assert question["response_schema"]["oneOf"][0]["type"] == "boolean"
    state = lg.threads.get_state(thread)
    assert state["interrupts"] == [question]
    assert state["tasks"][0]["interrupts"] == [question]
    assert state["next"] == ["execute_step"]
    shown = lg.threads.get(thread)
    assert (shown["status"], [*shown["interrupts"].values()]) == ("interrupted", [[question]])
    [run] = lg.runs.list(thread)
    assert run["status"] == "interrupted"


def test_a_stream_tells_the_question_and_ends_until_it_is_answered(lg, thread):
    modes = ["values", "updates"]
    told = [*lg.runs.stream(thread, "runwright", input=PROMPT, stream_mode=modes, **ASKING)]
    assert told[-1].data["status"] == "interrupted"
    [question] = told[-2].data["__interrupt__"]
    assert told[-3].data == {"__interrupt__": [question]}

    answer = {"resume": True}
    more = [*lg.runs.stream(thread, "runwright", command=answer, stream_mode=modes)]
    run_id = told[-1].data["run_id"]
    assert more[-1].data == {"run_id": run_id, "status": "success"}
    assert more[-2].data["result"]["output"] == 42
    assert "__interrupt__" not in more[-2].data
    # It is one run: who reads it anew is told both parts.
    whole = [*lg.runs.join_stream(thread, run_id, stream_mode=modes)]
    assert [one.id for one in whole] == [one.id for one in [*told[:-1], *more[1:]]]


def test_whoever_joins_before_or_after_the_question_is_told_it(server, lg, thread):
    run = lg.runs.create(thread, "runwright", input=PROMPT, **ASKING)
    joined = [*lg.runs.join_stream(thread, run["run_id"], stream_mode="values")]
    later = [*lg.runs.join_stream(thread, run["run_id"], stream_mode="values")]

    assert joined == later
    assert later[-2].data["__interrupt__"]
    assert lg.runs.join(thread, run["run_id"])["__interrupt__"]


@pytest.mark.parametrize(
    ("answer", "status", "output"),
    [
        (True, "success", 42),
        (False, "interrupted", None),
        ({"what": "rejected", "reason": "no"}, "interrupted", None),
        ({"plan": {"steps": [{"tool": "calculator", "input": {"expression": "9"}}]}}, "success", 9),
    ],
)
def test_an_answer_decides(lg, thread, answer, status, output):
    asked(lg, thread)
    values = lg.runs.wait(thread, "runwright", command={"resume": answer})

    [run] = lg.runs.list(thread)
    assert run["status"] == status
    assert (values["result"] and values["result"]["output"]) == output


def test_an_answer_may_name_the_question_that_it_answers(lg, thread):
    question = asked(lg, thread)
    with pytest.raises(ConflictError):
        lg.runs.create(thread, "runwright", command={"resume": {"0" * 32: True}})
    values = lg.runs.wait(thread, "runwright", command={"resume": {question["id"]: True}})
    assert values["result"]["output"] == 42
    with pytest.raises(ConflictError):  # it asks no more
        lg.runs.create(thread, "runwright", command={"resume": True}, strict_resume=True)


@pytest.mark.parametrize(
    "answer",
    [
        "perhaps",
        {"what": "expired"},
        {"plan": {"steps": [{"tool": "rm", "input": {}}]}},
        {"what": "approved", "reason": "why not"},
        [],
    ],
)
def test_an_answer_that_decides_nothing_is_refused_and_it_is_still_asked(lg, thread, answer):
    question = asked(lg, thread)
    with pytest.raises(UnprocessableEntityError):
        lg.runs.create(thread, "runwright", command={"resume": answer})
    assert lg.threads.get_state(thread)["interrupts"] == [question]


@pytest.mark.parametrize(
    ("answer", "status"),
    [("skip", "success"), ({"as": "done", "output": "sent"}, "success"), ("fail", "error")],
)
def test_a_step_in_doubt_is_an_interrupt_too(lg, thread, answer, status):
    plan = {"steps": [{"tool": "send", "input": {"to": "me"}}, *CALCULATION]}
    asked(lg, thread)
    values = lg.runs.wait(thread, "runwright", command={"resume": {"plan": plan}})
    [question] = values["__interrupt__"]
    assert (question["value"]["tool"], "done" in str(question["response_schema"])) == ("send", True)

    lg.runs.wait(thread, "runwright", command={"resume": answer}, raise_error=False)
    assert lg.runs.list(thread)[0]["status"] == status


CALCULATION = [{"tool": "calculator", "input": {"expression": "1"}}]


def test_a_new_input_waits_behind_a_question_or_is_refused(server, lg, thread):
    asked(lg, thread)
    with pytest.raises(ConflictError):
        lg.runs.create(thread, "runwright", input=PROMPT, multitask_strategy="reject")
    later = lg.runs.create(thread, "runwright", input={"prompt": "calculate 1 + 1"})
    assert later["status"] == "pending"
    assert lg.threads.get(thread)["status"] == "interrupted"
    lg.runs.wait(thread, "runwright", command={"resume": True})
    assert lg.runs.join(thread, later["run_id"])["result"]["output"] == 2


def test_two_that_are_to_be_refused_beside_another_are_one(server, lg, thread):
    first = lg.runs.create(
        thread, "runwright", input={"prompt": "pass gate alone"}, multitask_strategy="reject"
    )
    with pytest.raises(ConflictError):
        lg.runs.create(thread, "runwright", input=PROMPT, multitask_strategy="reject")
    server.open_gate("alone")
    lg.runs.join(thread, first["run_id"])
    lg.runs.wait(thread, "runwright", input=PROMPT, multitask_strategy="reject")
    assert len(lg.runs.list(thread)) == 2
