"""What runs ask a person: raised as interrupts, and answered as Studio answers them."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from langgraph_sdk.errors import ConflictError, UnprocessableEntityError

from tests.support.patience import patience

ASKING = {"context": {"approve": True}}
PROMPT = {"prompt": "calculate 6 * 7"}
EDIT = {"type": "edit", "edited_action": {"name": "calculator", "args": {"expression": "8"}}}


def asked(lg, thread):
    """A thread that asks about a plan, and its question."""
    lg.runs.wait(thread, "runwright", input=PROMPT, **ASKING)
    [question] = lg.threads.get_state(thread)["interrupts"]
    return question


def test_a_plan_is_asked_about_with_what_fits_as_an_answer(lg, thread):
    values = lg.runs.wait(thread, "runwright", input=PROMPT, **ASKING)

    [question] = values["__interrupt__"]
    assert question["value"]["plan"]["steps"][0]["input"] == {"expression": "6 * 7"}
    assert question["value"]["action_requests"][0]["args"] == {"expression": "6 * 7"}
    assert question["value"]["review_configs"][0]["action_name"] == "calculator"
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


def test_a_question_that_is_raised_while_somebody_watches_is_told_as_to_who_comes_later(
    server, lg, thread
):
    send = {"tool": "send", "input": {"to": "me"}}
    plan = {"steps": [{"tool": "gate", "input": {"name": "watched"}}, send]}
    asked(lg, thread)
    run = lg.runs.create(thread, "runwright", command={"resume": {"plan": plan}})
    stream = iter(lg.runs.join_stream(thread, run["run_id"], stream_mode="values"))
    watched = []
    while not watched or watched[-1].event != "values" or not watched[-1].data["log"]:
        watched.append(next(stream))  # up to the decision, with which it goes on
    server.open_gate("watched")
    watched += stream

    assert watched[-1].data["status"] == "interrupted"
    [question] = watched[-2].data["__interrupt__"]
    assert question["value"]["tool"] == "send"
    later = [*lg.runs.join_stream(thread, run["run_id"], stream_mode="values")]
    assert later == watched
    assert lg.threads.get_state(thread)["interrupts"] == [question]


@pytest.mark.parametrize(
    ("answer", "status", "output"),
    [
        (True, "success", 42),
        (False, "interrupted", None),
        ({"what": "rejected", "reason": "no"}, "interrupted", None),
        ({"plan": {"steps": [{"tool": "calculator", "input": {"expression": "9"}}]}}, "success", 9),
        ({"decisions": [{"type": "approve"}]}, "success", 42),
        ({"decisions": [{"type": "reject", "message": "no"}]}, "interrupted", None),
        ({"decisions": [EDIT]}, "success", 8),
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
        {"decisions": []},
        {"decisions": [{"type": "approve"}] * 2},
        {"decisions": [{"type": "approve", "message": "yes"}]},
        {"decisions": [{"type": "edit"}]},
        {"decisions": [{"type": "respond"}]},
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


@pytest.mark.parametrize("turn", range(3))
def test_of_many_at_once_that_are_to_be_refused_beside_another_one_is_taken(
    server, lg, thread, turn
):
    given = {"assistant_id": "runwright", "input": {"prompt": f"pass gate raced{turn}"}}
    body = given | {"multitask_strategy": "reject"}

    def ask(_):
        return httpx.post(
            f"{server.url}/lg/threads/{thread}/runs", json=body, timeout=patience(), trust_env=False
        ).status_code

    with ThreadPoolExecutor(8) as clients:
        told = sorted(clients.map(ask, range(8)))
    assert told == [200, *[409] * 7]
    server.open_gate(f"raced{turn}")
    [run] = lg.runs.list(thread)
    assert lg.runs.join(thread, run["run_id"])["result"]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"metadata": {"a": "b"}}, "metadata"),
        ({"config": {"metadata": {"a": "b"}}}, "metadata"),
        ({"webhook": "https://example.org/"}, "webhook"),
        ({"context": {"answer": False}}, "answer"),
        ({"context": {"instructions": "Be brief."}}, "instructions"),
        ({"config": {"configurable": {"approve": True}}}, "approve"),
    ],
)
def test_what_only_a_new_run_can_be_given_is_refused_with_an_answer(
    server, lg, thread, given, field
):
    question = asked(lg, thread)
    body = {"assistant_id": "runwright", "command": {"resume": True}, **given}
    answer = server.client.post(f"/lg/threads/{thread}/runs", json=body)

    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == field
    assert lg.threads.get_state(thread)["interrupts"] == [question]


def test_an_answer_may_come_with_the_checkpoint_at_which_it_is_asked_for_and_no_other(lg, thread):
    asked(lg, thread)
    newest, older = lg.threads.get_history(thread, limit=2)
    with pytest.raises(ConflictError):
        lg.runs.create(
            thread, "runwright", command={"resume": True}, checkpoint=older["checkpoint"]
        )
    values = lg.runs.wait(
        thread,
        "runwright",
        input={},
        command={"resume": True},
        checkpoint=newest["checkpoint"],
    )
    assert values["result"]["output"] == 42


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
