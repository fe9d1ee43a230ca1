"""Two servers over one Postgres behind a balancer: every request meets the one or the other."""

import random
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from langgraph.pregel.remote import RemoteGraph
from langgraph_sdk import get_client, get_sync_client
from langgraph_sdk.client import SyncLangGraphClient
from langgraph_sdk.errors import ConflictError

from tests.support.databases.postgres import PostgresServer, runs_kept_in
from tests.support.own_tools.gate_tool import GATE, open_gate
from tests.support.patience import patience, wait_until
from tests.support.servers.fleet import FleetProcesses
from tests.support.servers.lg.javascript import javascript
from tests.support.servers.proxies.cutting import CuttingProxy, cutting

PROMPT = {"prompt": "add a todo to buy milk, then calculate 6 * 7, then show me all my tasks"}
MODES = ["values", "updates", "messages-tuple", "custom", "lifecycle", "tasks", "checkpoints"]

#: Most of them are slow ones.
SOME_STREAMS = pytest.mark.parametrize(
    "streams", [4, pytest.param(10, marks=[pytest.mark.slow, pytest.mark.calls])]
)


@pytest.fixture(scope="module")
def fleet(
    tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer
) -> Iterator[FleetProcesses]:
    """Two servers that execute nothing, and a worker."""
    folder = tmp_path_factory.mktemp("fleet")
    with (
        runs_kept_in(folder, postgres.make(f"lg_{uuid.uuid4().hex}")),
        FleetProcesses(folder, servers=2, workers=1, tools=GATE) as processes,
    ):
        processes.folder = folder  # type: ignore[attr-defined]  # for its gates
        yield processes


@pytest.fixture
def balancer(fleet: FleetProcesses) -> Iterator[CuttingProxy]:
    """What clients know of the servers."""
    with cutting([server.url for server in fleet.servers]) as proxy:
        yield proxy


@pytest.fixture
def lg(balancer: CuttingProxy, hurried: None) -> Iterator[SyncLangGraphClient]:
    """The official client, which comes again at once where a stream was cut."""
    client = get_sync_client(url=f"{balancer.url}/lg")
    yield client
    client.http.client.close()


def parts(stream: Any) -> list[tuple[str | None, str, Any]]:
    return [(part.id, part.event, part.data) for part in stream]


def test_every_call_is_answered_by_whichever_server_it_meets(lg, fleet):
    [assistant] = lg.assistants.search(graph_id="runwright")
    name = assistant["assistant_id"]
    assert lg.assistants.get(name) == assistant
    thread = lg.threads.create(metadata={"who": "me"})["thread_id"]
    assert lg.threads.update(thread, metadata={"more": "x"})["metadata"]["more"] == "x"
    for _ in range(2):  # so that each call meets both
        values = lg.runs.wait(thread, name, input=PROMPT)
        assert values["run"]["status"] == "completed"
        assert lg.threads.get(thread)["values"] == values
        state = lg.threads.get_state(thread)
        assert state["values"] == values
        assert lg.threads.get_state(thread, checkpoint=state["checkpoint"]) == state
        assert lg.threads.get_history(thread, limit=1) == [state]
        [found] = lg.threads.search(metadata={"who": "me"}, ids=[thread])
        assert found["values"] == values
        run = lg.runs.list(thread, limit=1)[0]
        assert lg.runs.get(thread, run["run_id"]) == {**run, "cancel_reason": None}
        assert lg.runs.join(thread, run["run_id"]) == values
    # A run of the first server is gone back to by the other.
    at = next(one for one in lg.threads.get_history(thread, limit=100) if len(one["next"]) == 1)
    assert lg.runs.wait(thread, name, checkpoint=at["checkpoint"])["run"]["status"] == "completed"
    lg.threads.update_state(thread, {"run": {"cursor": 0}})
    assert lg.runs.wait(thread, name)["run"]["status"] == "completed"
    assert lg.runs.wait(None, name, input=PROMPT)["run"]["status"] == "completed"
    lg.runs.delete(thread, run["run_id"])
    lg.threads.delete(thread)
    assert lg.threads.search(ids=[thread]) == []


@SOME_STREAMS
# A stream that is cut before its first id is told from the beginning.
@pytest.mark.filterwarnings("ignore:Reconnecting without")
def test_a_stream_cut_at_random_bytes_goes_on_at_the_other_server(lg, balancer, streams):
    thread = lg.threads.create()["thread_id"]
    chosen = random.Random(23)
    for _ in range(streams):  # each is cut twice
        balancer.cut(chosen.randrange(1, 30_000), chosen.randrange(1, 9_000))
        told = parts(lg.runs.stream(thread, "runwright", input=PROMPT, stream_mode=MODES))
        given = {"stream_mode": MODES, "last_event_id": "-1"}
        assert told == parts(lg.runs.join_stream(thread, told[0][2]["run_id"], **given))
    assert balancer.made == 2 * streams


@pytest.mark.slow
@pytest.mark.calls
async def test_the_asynchronous_client_goes_on_at_the_other_server_too(lg, balancer):
    client = get_client(url=f"{balancer.url}/lg")
    thread = (await client.threads.create())["thread_id"]
    balancer.cut(3_000, 2_000)
    stream = client.runs.stream(thread, "runwright", input=PROMPT, stream_mode=MODES)
    told = [(part.id, part.event, part.data) async for part in stream]
    again = client.runs.join_stream(thread, told[0][2]["run_id"], stream_mode=MODES)
    assert told == [(part.id, part.event, part.data) async for part in again]
    assert balancer.made == 2
    await client.http.client.aclose()


@pytest.mark.slow
@pytest.mark.calls
def test_the_javascript_client_goes_on_at_the_other_server_too(lg, balancer):
    with javascript(f"{balancer.url}/lg") as js:
        for _ in range(3):
            balancer.cut(3_000, 2_000)
            thread = js.call("threads", "create")["thread_id"]
            options = {"input": PROMPT, "streamMode": MODES, "streamResumable": True}
            told = js.call("runs", "stream", thread, "runwright", options)
            again = {"streamMode": MODES, "lastEventId": "-1"}
            run_id = told[0]["data"]["run_id"]
            assert told == js.call("runs", "joinStream", thread, run_id, again)
            assert js.call("runs", "get", thread, run_id)["status"] == "success"
        assert balancer.made == 6


def test_the_servers_as_a_graph_among_others(balancer):
    with get_sync_client(url=f"{balancer.url}/lg") as client:
        graph = RemoteGraph("runwright", sync_client=client)
        config: Any = {"configurable": {"thread_id": str(uuid.uuid4())}}
        assert graph.invoke({"prompt": "calculate 6 * 7"}, config)["result"]["output"] == 42
        assert graph.get_state(config).values["result"]["output"] == 42
        assert next(iter(graph.get_state_history(config))).next == ()


def test_a_question_that_one_server_was_asked_is_answered_at_the_other(lg):
    thread = lg.threads.create()["thread_id"]
    context = {"approve": True}
    told = parts(lg.runs.stream(thread, "runwright", input=PROMPT, context=context))
    [question] = told[-2][2]["__interrupt__"]
    run_id = told[0][2]["run_id"]
    for _ in range(2):
        assert lg.threads.get_state(thread)["interrupts"] == [question]
        assert parts(lg.runs.join_stream(thread, run_id, stream_mode="values")) == told
    values = lg.runs.wait(thread, "runwright", command={"resume": {question["id"]: True}})
    assert values["run"]["status"] == "completed"
    with pytest.raises(ConflictError):
        lg.runs.create(thread, "runwright", command={"resume": True})


@pytest.mark.parametrize(
    "turn",
    [0, *(pytest.param(turn, marks=[pytest.mark.slow, pytest.mark.calls]) for turn in (1, 2))],
)
def test_of_many_at_once_at_two_servers_that_are_to_be_alone_one_is_taken(fleet, lg, turn):
    thread = lg.threads.create()["thread_id"]
    name = f"raced{turn}"
    body = {
        "assistant_id": "runwright",
        "input": {"prompt": f"pass gate {name}"},
        "multitask_strategy": "reject",
    }

    def ask(number: int) -> int:
        url = f"{fleet.servers[number % 2].url}/lg/threads/{thread}/runs"
        return httpx.post(url, json=body, timeout=patience(), trust_env=False).status_code

    with ThreadPoolExecutor(8) as clients:
        told = sorted(clients.map(ask, range(8)))
    assert told == [200, *[409] * 7]
    open_gate(fleet.folder, name)
    [run] = lg.runs.list(thread)
    assert lg.runs.join(thread, run["run_id"])["run"]["status"] == "completed"


def test_a_run_that_is_executed_elsewhere_is_cancelled_and_waited_for(lg):
    thread = lg.threads.create()["thread_id"]
    for _ in range(2):
        run = lg.runs.create(thread, "runwright", input={"prompt": "pass gate never"})
        lg.runs.cancel(thread, run["run_id"], wait=True)
        assert lg.runs.get(thread, run["run_id"])["status"] == "interrupted"
        assert lg.threads.get(thread)["status"] == "idle"


def test_who_leaves_one_server_cancels_what_is_executed_elsewhere_where_that_was_asked_for(lg):
    thread = lg.threads.create()["thread_id"]
    prompt = {"prompt": "pass gate never"}
    left = lg.runs.stream(thread, "runwright", input=prompt, on_disconnect="cancel")
    run_id = next(iter(left)).data["run_id"]
    left.close()
    wait_until(lambda: lg.runs.get(thread, run_id)["cancel_reason"])
    lg.runs.wait(thread, "runwright", input={"prompt": "calculate 1 + 1"})


def test_a_thread_is_followed_at_a_server_that_executes_nothing_of_it(lg):
    thread = lg.threads.create()["thread_id"]
    lg.runs.wait(thread, "runwright", input={"prompt": "calculate 1 + 1"})
    stream = lg.threads.join_stream(thread, last_event_id="-1")
    told, kinds = [], []
    for part in stream:
        told.append(part)
        kinds.append(part.event)
        if kinds.count("end") == 1 and part.event == "end":
            lg.runs.create(thread, "runwright", input={"prompt": "calculate 2 + 2"})
        if kinds.count("end") == 2:
            break
    stream.close()
    results = [part.data["result"] for part in told if part.event == "values"]
    assert [one["output"] for one in results if one] == [2, 4]
