"""Every call by each official client; what one is answered, the others are, too."""

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from tests.support.servers.lg.clients import CLIENTS, synchronous
from tests.support.servers.lg.conformance import ASSISTANT, Session, questions, scenario
from tests.support.servers.proxies.cutting import cutting

TASK = {"prompt": "add a todo to buy milk, then calculate 6 * 7"}
ASKING = {"context": {"approve": True}}
MODES = [
    *("values", "updates", "messages-tuple", "custom", "lifecycle"),
    *("tasks", "debug", "checkpoints"),
]

Opened = Callable[[str], AbstractContextManager[Session]]
Ask = Callable[..., Any]

#: Most of them are slow ones.
SOME_STREAMS = pytest.mark.parametrize(
    "streams", [4, pytest.param(10, marks=[pytest.mark.slow, pytest.mark.calls])]
)


#: Of JavaScript's two versions the older one is slow.
CASES = [
    pytest.param(name, marks=[pytest.mark.slow, pytest.mark.calls] if "pinned" in name else [])
    for name in CLIENTS
]


@pytest.fixture(params=CASES)
def opened(request: pytest.FixtureRequest) -> Opened:
    """What makes a client of a server."""
    return CLIENTS[request.param]


@pytest.fixture
def ask(server: Any, opened: Opened) -> Iterator[Ask]:
    """Makes a call of the server; of a stream, the parts as they come."""
    with opened(f"{server.url}/lg") as session:
        yield asking(session)


def asking(session: Session) -> Ask:
    def ask(call: str, *given: Any, **options: Any) -> Any:
        area, _, method = call.partition(".")
        return session.call(area, method, given, options)

    return ask


@pytest.fixture
def thread(ask: Ask) -> str:
    """A new thread."""
    return str(ask("threads.create")["thread_id"])


def everything(session: Session) -> dict[str, Any]:
    """What a client is answered to all calls, and to a question."""
    scenario(session)
    questions(session, ASKING)
    return session.told


@pytest.fixture(scope="module")
def told(server: Any) -> dict[str, Any]:
    """What the synchronous client is answered to all calls."""
    with synchronous(f"{server.url}/lg") as session:
        return everything(session)


def refused(told: dict[str, Any]) -> list[str]:
    return [name for name, answer in told.items() if str(answer).startswith("refused")]


def test_each_call_is_answered_as_the_synchronous_client_is(server, opened, told):
    with opened(f"{server.url}/lg") as session:
        answers = everything(session)
    expected = ["POST /threads/{id}/runs/wait, failed", "multitask_strategy reject"]
    assert refused(told) == refused(answers) == expected
    by_name = {name: told[name] for name in expected}  # each has its own words for them
    assert {**answers, **by_name} == told


@SOME_STREAMS
# A stream that is cut before its first id is told from the beginning.
@pytest.mark.filterwarnings("ignore:Reconnecting without")
def test_a_stream_cut_at_random_bytes_loses_and_repeats_nothing(
    server, hurried, opened, ask, thread, streams
):
    chosen = random.Random(11)
    with cutting(server.url) as proxy, opened(f"{proxy.url}/lg") as session:
        for _ in range(streams):  # each is cut twice
            proxy.cut(chosen.randrange(1, 20_000), chosen.randrange(1, 9_000))
            given = {"input": TASK, "stream_mode": MODES, "stream_resumable": True}
            told = [*asking(session)("runs.stream", thread, ASSISTANT, **given)]
            again = {"stream_mode": MODES, "last_event_id": "-1"}
            assert told == [*ask("runs.join_stream", thread, told[0]["data"]["run_id"], **again)]
        assert proxy.made == 2 * streams


def test_a_run_is_cancelled_and_waited_for_and_the_thread_goes_on(ask, thread):
    run_id = ask("runs.create", thread, ASSISTANT, input={"prompt": "pass gate never"})["run_id"]
    ask("runs.cancel", thread, run_id, wait=True)
    run = ask("runs.get", thread, run_id)
    assert (run["status"], run["cancel_reason"][:9]) == ("interrupted", "cancelled")
    assert ask("threads.get", thread)["status"] == "idle"
    assert ask("runs.wait", thread, ASSISTANT, input=TASK)["result"]["output"] == 42


def test_a_thread_is_gone_back_to_edited_and_forked(ask, thread):
    ask("runs.wait", thread, ASSISTANT, input=TASK)
    end, _, due, *_ = ask("threads.get_history", thread, limit=100)
    assert (due["next"], due["values"]["run"]["cursor"]) == (["execute_step"], 1)
    again = ask("runs.wait", thread, ASSISTANT, checkpoint=due["checkpoint"])
    assert again["result"]["output"] == 42

    plan = due["values"]["plan"]
    plan["steps"][1]["input"] = {"expression": "6 * 8"}
    given = {"checkpoint": due["checkpoint"]}
    place = ask("threads.update_state", thread, {"plan": plan}, **given)["checkpoint"]
    state = ask("threads.get_state", thread)
    assert (state["checkpoint"], state["next"]) == (place, ["execute_step"])
    assert ask("runs.wait", thread, ASSISTANT, checkpoint=place)["result"]["output"] == 48

    asked = {"input": {"prompt": "double it"}, "checkpoint": end["checkpoint"]}
    values = ask("runs.wait", thread, ASSISTANT, **asked)
    assert values["result"]["output"] == 84
    said = [one["content"] for one in values["messages"] if one["type"] == "human"]
    assert said == [TASK["prompt"], "double it"]
    history = ask("threads.get_history", thread, limit=100)
    assert [one["checkpoint"] for one in history if not one["parent_checkpoint"]] == [
        history[-1]["checkpoint"]
    ]
    assert len({one["metadata"]["run_id"] for one in history}) == 4


def test_a_question_is_told_to_who_watches_before_it_is_raised_and_to_who_joins_after_it(
    server, request, opened, ask, thread
):
    name = f"asked-{request.node.callspec.id}"
    send = {"tool": "send", "input": {"to": "me"}}
    plan = {"steps": [{"tool": "gate", "input": {"name": name}}, send]}
    ask("runs.wait", thread, ASSISTANT, input=TASK, **ASKING)
    with opened(f"{server.url}/lg") as watching:
        answer = {"command": {"resume": {"plan": plan}}, "stream_mode": "values"}
        stream = asking(watching)("runs.stream", thread, ASSISTANT, **answer)
        run_id = next(stream)["data"]["run_id"]
        server.open_gate(name)
        watched = [*stream]
    assert watched[-1]["data"]["status"] == "interrupted"
    [question] = watched[-2]["data"]["__interrupt__"]
    assert question["value"]["tool"] == "send"
    later = [*ask("runs.join_stream", thread, run_id, stream_mode="values")]
    assert later[-len(watched) :] == watched
    assert ask("threads.get_state", thread)["interrupts"] == [question]
    values = ask("runs.wait", thread, ASSISTANT, command={"resume": "skip"})
    assert values["run"]["status"] == "completed"


def test_a_page_that_is_refreshed_is_told_the_rest(server, request, opened, ask, thread):
    name = f"refreshed-{request.node.callspec.id}"
    ask("runs.wait", thread, ASSISTANT, input=TASK)
    with opened(f"{server.url}/lg") as page:
        given = {"input": {"prompt": f"pass gate {name}"}, "stream_mode": ["values", "updates"]}
        stream = asking(page)("runs.stream", thread, ASSISTANT, **given)
        told = [next(stream)]
        while told[-1]["event"] != "updates":
            told.append(next(stream))
        stream.close()
    # What it knows comes from the server now.
    [found] = ask("threads.search", ids=[thread])
    assert (found["status"], len(found["values"]["messages"])) == ("busy", 7)
    [run] = ask("runs.list", thread, status="running")
    assert run["run_id"] == told[0]["data"]["run_id"]
    again = {"stream_mode": ["values", "updates"], "last_event_id": told[-1]["id"]}
    rest = ask("runs.join_stream", thread, run["run_id"], **again)
    server.open_gate(name)
    told += rest
    assert told[-1]["data"]["status"] == "success"
    again["last_event_id"] = "-1"
    assert told == [*ask("runs.join_stream", thread, run["run_id"], **again)]


def test_a_thread_is_followed_over_its_runs(server, opened, ask, thread):
    run_ids = []
    with opened(f"{server.url}/lg") as following:
        given = {"stream_mode": "lifecycle", "last_event_id": "-1"}
        stream = asking(following)("threads.join_stream", thread, **given)
        for _ in range(2):
            run_ids.append(ask("runs.create", thread, ASSISTANT, input=TASK)["run_id"])
            told = [next(stream)]
            while told[-1]["event"] != "end":
                told.append(next(stream))
            assert told[-1]["data"] == {"run_id": run_ids[-1], "status": "success"}
        stream.close()
    assert len({*run_ids}) == 2
