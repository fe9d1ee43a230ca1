"""Another's threads and runs are not there, wherever a request names them."""

import re
import uuid
from typing import Any

import pytest
from langgraph_sdk import get_sync_client
from starlette.routing import Route

from api.lg.routes import PREFIX, lg_routes
from graph.settings.configured import new_key
from tests.support.servers.server_process import http_client, serving


@pytest.fixture(scope="module")
def keyed(tmp_path_factory):
    """A server with two owners, the key of each, and a thread of the first with an ended run."""
    (alice, first), (bob, second) = new_key("alice"), new_key("bob")
    with serving(tmp_path_factory.mktemp("keys"), api_keys=f"{first},{second}") as server:
        client = get_sync_client(url=f"{server.url}/lg", api_key=alice)
        thread = client.threads.create()["thread_id"]
        client.runs.wait(thread, "runwright", input={"prompt": "calculate 6 * 7"})
        [run] = client.runs.list(thread)
        empty = client.threads.create()["thread_id"]
        at = client.threads.get_state(thread)["checkpoint"]["checkpoint_id"]
        client.http.client.close()
        yield server, alice, bob, {"t": thread, "r": run["run_id"], "e": empty, "c": at}


INPUT: dict[str, Any] = {"assistant_id": "runwright", "input": {"prompt": "calculate 1"}}

FOREIGN: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "/threads/{t}", None),
    ("GET", "/threads/{e}", None),
    ("PATCH", "/threads/{t}", {"metadata": {"a": "b"}}),
    ("PATCH", "/threads/{e}", {"metadata": {"a": "b"}}),
    ("DELETE", "/threads/{t}", None),
    ("DELETE", "/threads/{e}", None),
    ("GET", "/threads/{t}/state", None),
    ("GET", "/threads/{t}/state/{c}", None),
    ("POST", "/threads/{t}/state/checkpoint", {"checkpoint": {"checkpoint_id": "{c}"}}),
    ("POST", "/threads/{t}/history", {}),
    ("GET", "/threads/{t}/history", None),
    ("GET", "/threads/{t}/runs", None),
    ("POST", "/threads/{t}/runs", INPUT),
    ("POST", "/threads/{e}/runs", INPUT),
    ("POST", "/threads/{e}/runs", INPUT | {"if_not_exists": "create"}),
    ("POST", "/threads/{t}/runs/wait", INPUT),
    ("POST", "/threads/{t}/runs/stream", INPUT),
    ("POST", "/threads/{t}/runs", {"assistant_id": "runwright", "command": {"resume": True}}),
    ("POST", "/threads/{own}/runs", INPUT | {"checkpoint_id": "{c}"}),
    ("POST", "/threads/{own}/runs", INPUT | {"checkpoint": {"checkpoint_id": "{c}"}}),
    ("POST", "/threads/{own}/runs/stream", INPUT | {"checkpoint_id": "{c}"}),
    ("POST", "/threads/{own}/runs/wait", INPUT | {"checkpoint_id": "{c}"}),
    ("POST", "/threads/{own}/state", {"checkpoint_id": "{c}"}),
    ("POST", "/threads/{own}/state", {"checkpoint": {"checkpoint_id": "{c}"}}),
    ("POST", "/threads/{t}/state", {"values": None}),
    ("POST", "/threads/{own}/state/checkpoint", {"checkpoint": {"checkpoint_id": "{c}"}}),
    ("POST", "/threads/{own}/history", {"before": "{c}"}),
    ("POST", "/threads/{own}/history", {"checkpoint": {"checkpoint_id": "{c}"}}),
    ("GET", "/threads/{t}/stream", None),
    ("GET", "/threads/{own}/state/{c}", None),
    ("GET", "/threads/{own}/runs/{r}", None),
    ("DELETE", "/threads/{own}/runs/{r}", None),
    ("GET", "/threads/{own}/runs/{r}/join", None),
    ("GET", "/threads/{own}/runs/{r}/stream", None),
    ("POST", "/threads/{own}/runs/{r}/cancel", None),
    ("GET", "/threads/{t}/runs/{r}", None),
    ("DELETE", "/threads/{t}/runs/{r}", None),
    ("GET", "/threads/{t}/runs/{r}/join", None),
    ("GET", "/threads/{t}/runs/{r}/stream", None),
    ("GET", "/runs/{r}/stream", None),
    ("GET", "/runs/{r}/join", None),
    ("POST", "/threads/{t}/runs/{r}/cancel", None),
]


def filled(given: Any, ids: dict[str, str]) -> Any:
    """The request with the ids."""
    if isinstance(given, dict):
        return {name: filled(value, ids) for name, value in given.items()}
    return given.format(**ids) if isinstance(given, str) and given.startswith("{") else given


@pytest.mark.parametrize(("method", "path", "body"), FOREIGN)
def test_what_is_anothers_is_not_there_in_the_path_nor_in_the_body(keyed, method, path, body):
    server, _, bob, ids = keyed
    with http_client(server.url, headers={"x-api-key": bob}) as client:
        own = client.post("/lg/threads", json={}).json()["thread_id"]
        ended = client.post(f"/lg/threads/{own}/runs/wait", json=INPUT)
        assert ended.status_code == 200
        place = f"/lg{path.format(**ids, own=own)}"
        answer = client.request(method, place, json=filled(body, ids))

    assert answer.status_code == 404, answer.text
    assert "alice" not in answer.text


def test_each_path_that_names_a_thread_or_a_run_is_among_them():
    def anonymous(path: str) -> str:
        return re.sub(r"\{\w+\}", "{}", path)

    tried = {(method, anonymous(f"{PREFIX}{path}")) for method, path, _ in FOREIGN}
    routes = [route for route in lg_routes() if isinstance(route, Route)]
    paths = {
        (method, anonymous(route.path))
        for route in routes
        if not route.endpoint.__qualname__.startswith("_refusing.")
        for method in (route.methods or set()) - {"HEAD"}
        if "{thread_id}" in route.path or "{run_id}" in route.path
    }
    assert len(paths) > 20
    assert paths - tried == set()


def test_no_id_of_anothers_can_be_taken_and_none_is_listed(keyed):
    server, _, bob, ids = keyed
    with http_client(server.url, headers={"x-api-key": bob}) as client:
        for taken in (ids["t"], ids["e"]):
            for if_exists in ("raise", "do_nothing"):
                body = {"thread_id": taken, "if_exists": if_exists}
                assert client.post("/lg/threads", json=body).status_code == 409
        found = client.post("/lg/threads/search", json={"limit": 100}).json()
        sought = client.post("/lg/threads/search", json={"ids": [ids["t"], ids["e"]]}).json()
    assert sought == []
    assert not {ids["t"], ids["e"]} & {one["thread_id"] for one in found}


def test_nobody_is_answered_without_a_key(keyed):
    server = keyed[0]
    for method, path in (("GET", "/assistants/runwright"), ("POST", "/assistants/search")):
        assert server.client.request(method, f"/lg{path}").status_code == 401
    assert server.client.post(f"/lg/threads/{uuid.uuid4()}/copy").status_code == 401


def test_who_has_no_key_is_told_what_there_is_and_nothing_of_what_it_is_made_of(keyed):
    server, alice, _, _ = keyed
    assert server.client.get("/lg/ok").json() == {"ok": True}
    told = server.client.get("/lg/info").json()
    assert [*told] == ["version", "flags"]
    known = server.client.get("/lg/info", headers={"x-api-key": alice}).json()
    assert [*known] == [*told, "langgraph_py_version", "runwright_version"]
