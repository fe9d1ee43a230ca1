"""Whatever stands in the table of transitions, asked for over HTTP from every status.

The cases are made from the table and from the server's description of itself, so that no status,
action or call can be forgotten.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

import httpx
import pytest

from api.schemas import Problem
from graph.state import Status
from graph.state.status import ACTIONS, SETTLED, TRANSITIONS, actions
from tests.support.servers.api_calls import calls
from tests.support.servers.server_process import ServerProcess, serving
from tests.support.wording.messages import wording

LONG = "sleep 600 seconds"
TOOLS = "examples.flaky:sleep,examples.flaky:fail_times"

#: What is answered where an action is not possible.
REFUSED = {
    "cancel": "already-settled",
    "approve": "not-waiting",
    "reject": "not-waiting",
    "resolve": "not-in-doubt",
    "retry": "not-retryable",
}

#: An action that has been carried out may be asked for again, and changes nothing.
DONE_ALREADY = {("cancelled", "cancel")}

#: Calls that are no action: when they can be made is not told by the table.
OTHERS = {
    ("POST", "/runs/{run_id}/replay"),
    ("POST", "/runs/{run_id}/retry-now"),
    ("POST", "/runs/{run_id}/fork"),
    ("DELETE", "/runs/{run_id}"),
}


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("server")
    with serving(folder, tools=TOOLS, backoff="600", in_flight="1") as server:
        yield server


@pytest.fixture
def server(process: ServerProcess) -> Iterator[ServerProcess]:
    """A server with nothing to do, which is left as such."""
    yield process
    for run in process.client.get("/runs").json()["runs"]:
        if run["status"] not in SETTLED:
            process.client.post(f"/runs/{run['run_id']}/cancel")


def busy(server: ServerProcess) -> None:
    """Let the only slot be taken, so that what is told to go on stays where it then is."""
    server.until(server.post(LONG), lambda run: run["current"])


def pending(server: ServerProcess) -> str:
    busy(server)
    return server.post(LONG)


def running(server: ServerProcess) -> str:
    run_id = server.post(LONG)
    server.until(run_id, lambda run: run["current"])
    return run_id


def in_backoff(server: ServerProcess) -> str:
    run_id = server.post("fail 1 times")
    server.until(run_id, lambda run: run["current"] and run["current"]["not_before"])
    busy(server)
    return run_id


def waiting(server: ServerProcess) -> str:
    answer = server.client.post("/runs/wait?timeout=300", json={"prompt": LONG, "mode": "plan"})
    assert answer.json()["status"] == "waiting"
    busy(server)
    return str(answer.json()["run_id"])


def settled(prompt: str) -> Callable[[ServerProcess], str]:
    def make(server: ServerProcess) -> str:
        run_id = server.post(prompt)
        server.settled(run_id)
        busy(server)
        return run_id

    return make


def cancelled(server: ServerProcess) -> str:
    run_id = running(server)
    server.client.post(f"/runs/{run_id}/cancel")
    busy(server)
    return run_id


#: The ways in which a run can stand: its status, and how it is brought there.
SITUATIONS: Mapping[str, tuple[Status, Callable[[ServerProcess], str]]] = {
    "pending": ("pending", pending),
    "running": ("running", running),
    "in a backoff": ("running", in_backoff),
    "waiting": ("waiting", waiting),
    "completed": ("completed", settled("2 + 2")),
    "failed": ("failed", settled("calculate 1 / 0")),
    "refused": ("failed", settled("hum a tune")),
    "cancelled": ("cancelled", cancelled),
}


def record(server: ServerProcess, run_id: str) -> dict[str, Any]:
    """What is told of a run, but for the time of the answer."""
    return {**server.get(run_id), "server_time": None}


def problem(answer: httpx.Response, status: int, name: str) -> Problem:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = Problem.model_validate_json(answer.content, strict=True, extra="forbid")
    assert told.type == f"urn:runwright:problem:{name}"
    return told


def refused(name: str, run_id: str, status: Status) -> str:
    return wording(f"problems.{name}.detail", run_id=run_id, status=status)


def test_no_status_action_or_call_is_forgotten_here(process: ServerProcess):
    document = process.client.get("/openapi.json").json()
    changing = {
        (method, path)
        for method, path, _ in calls(document)
        if method != "GET" and "{run_id}" in path
    }

    assert {status for status, _ in SITUATIONS.values()} == set(TRANSITIONS)
    assert set(REFUSED) == set(ACTIONS)
    assert changing == OTHERS | {("POST", f"/runs/{{run_id}}/{action}") for action in ACTIONS}


@pytest.mark.parametrize(("situation", "action"), [*product(SITUATIONS, ACTIONS)])
def test_an_action_is_accepted_exactly_where_the_record_offers_it(
    server: ServerProcess, situation: str, action: str
):
    status, make = SITUATIONS[situation]
    run_id = make(server)
    before = record(server, run_id)
    assert before["status"] == status
    assert before["actions"] == actions(status)

    body = {"as": "redo"} if action == "resolve" else {}
    answer = server.client.post(f"/runs/{run_id}/{action}", json=body)

    after = record(server, run_id)
    if action in before["actions"]:
        assert answer.status_code == 200, answer.text
        assert answer.json()["status"] == after["status"] == ACTIONS[action]
        assert ACTIONS[action] in TRANSITIONS[status]
        assert after["last_event_id"] > before["last_event_id"]
        assert after["actions"] == actions(after["status"])
    else:
        if (status, action) in DONE_ALREADY:
            assert (answer.status_code, answer.json()["status"]) == (200, status)
        else:
            told = problem(answer, 409, REFUSED[action])
            assert told.detail == refused(REFUSED[action], run_id, status)
        assert after == before


#: The transitions that a run takes by itself, each with a task that does so.
BY_ITSELF: Mapping[tuple[Status, Status], tuple[str, str]] = {
    ("pending", "running"): ("2 + 2", "execute"),
    ("running", "waiting"): ("2 + 2", "plan"),
    ("running", "completed"): ("2 + 2", "execute"),
    ("running", "failed"): ("calculate 1 / 0", "execute"),
}

#: What only several deaths of the process in a row lead to; the tests of the take-up have it.
BY_DEATHS: set[tuple[Status, Status]] = {("pending", "failed")}


def test_every_transition_of_the_table_is_taken_in_these_tests():
    asked = {
        (status, ACTIONS[action]) for status, _ in SITUATIONS.values() for action in actions(status)
    }
    table = {(before, after) for before, following in TRANSITIONS.items() for after in following}

    assert asked | set(BY_ITSELF) | BY_DEATHS == table


@pytest.mark.parametrize("transition", BY_ITSELF, ids=lambda one: " to ".join(one))
def test_what_a_run_becomes_by_itself_is_told_in_its_events(
    server: ServerProcess, transition: tuple[Status, Status]
):
    (before, after), (prompt, mode) = transition, BY_ITSELF[transition]
    run_id = server.client.post(
        "/runs/wait?timeout=300", json={"prompt": prompt, "mode": mode}
    ).json()["run_id"]
    events = server.client.get(f"/runs/{run_id}/events").json()["events"]
    types = [event["type"] for event in events]
    name = {"pending": "run.queued", "running": "run.started"}

    assert types.index(name[before]) < types.index(name.get(after, f"run.{after}"))
    assert after == "running" or server.get(run_id)["status"] == after


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_body_that_is_not_one_is_refused_before_anything_is_looked_at(
    server: ServerProcess, situation: str
):
    run_id = SITUATIONS[situation][1](server)
    before = record(server, run_id)

    for action in (*ACTIONS, "retry-now", "fork"):
        answer = server.client.post(f"/runs/{run_id}/{action}", json={"unheard": "of"})
        told = problem(answer, 400, "invalid-request")
        assert [error["field"] for error in told.errors or []] == ["body"]

    assert record(server, run_id) == before


@pytest.mark.parametrize("situation", SITUATIONS)
def test_only_a_backoff_can_be_ended(server: ServerProcess, situation: str):
    status, make = SITUATIONS[situation]
    run_id = make(server)
    before = record(server, run_id)

    answer = server.client.post(f"/runs/{run_id}/retry-now")

    if situation == "in a backoff":
        assert (answer.status_code, answer.json()["attempt"]) == (200, 2)
        current = record(server, run_id)["current"]  # None where it has ended by now
        assert current is None or current["not_before"] is None
    else:
        told = problem(answer, 409, "no-backoff")
        assert told.detail == wording("problems.no-backoff.detail", status=status)
        assert record(server, run_id) == before


@pytest.mark.parametrize("situation", SITUATIONS)
def test_only_a_settled_run_can_be_removed(server: ServerProcess, situation: str):
    status, make = SITUATIONS[situation]
    run_id = make(server)
    before = record(server, run_id)

    answer = server.client.delete(f"/runs/{run_id}")

    if status in SETTLED:
        assert (answer.status_code, answer.content) == (204, b"")
        for again in (server.client.delete, server.client.get):
            problem(again(f"/runs/{run_id}"), 404, "run-not-found")
    else:
        told = problem(answer, 409, "not-settled")
        assert told.detail == refused("not-settled", run_id, status)
        assert record(server, run_id) == before


@pytest.mark.parametrize("situation", SITUATIONS)
def test_whatever_has_a_checkpoint_can_be_forked_and_stays_as_it_is(
    server: ServerProcess, situation: str
):
    """A queued run has none."""
    run_id = SITUATIONS[situation][1](server)
    before = record(server, run_id)
    page = server.client.get(f"/runs/{run_id}/history").json()["checkpoints"]
    point = page[0]["checkpoint_id"] if page else "0"

    answer = server.client.post(f"/runs/{run_id}/fork", json={"checkpoint_id": point})

    forks = []
    if situation == "pending":
        told = problem(answer, 404, "checkpoint-not-found")
        assert f"/runs/{run_id}/history" in told.detail
    else:
        assert (answer.status_code, answer.json()["status"]) == (201, "pending")
        forks = [answer.json()["run_id"]]
        origin = {"run_id": run_id, "checkpoint_id": point}
        assert server.get(forks[0])["forked_from"] == origin
    assert record(server, run_id) == {**before, "forks": forks}


def test_the_answer_to_an_action_is_the_record_as_it_then_is(server: ServerProcess):
    """Its forks too."""
    run_id = cancelled(server)
    point = server.client.get(f"/runs/{run_id}/history").json()["checkpoints"][0]["checkpoint_id"]
    server.client.post(f"/runs/{run_id}/fork", json={"checkpoint_id": point})

    told = server.client.post(f"/runs/{run_id}/retry").json()

    assert len(told["forks"]) == 1
    assert {**told, "server_time": None} == record(server, run_id)
