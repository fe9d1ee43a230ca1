"""The rules that clients rest on without saying so."""

import json
from typing import Any

import pytest

from tests.support.own_tools.gate_tool import GATE
from tests.support.servers.server_process import serving

ORIGIN = "https://studio.example"

INPUT: dict[str, Any] = {"assistant_id": "runwright", "input": {"prompt": "calculate 6 * 7"}}


@pytest.fixture(scope="module")
def open_server(tmp_path_factory):
    """A server that pages of one other site may call."""
    with serving(tmp_path_factory.mktemp("cors"), cors_origins=ORIGIN) as started:
        yield started


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": ORIGIN, "content-type": "text/plain;charset=UTF-8"}, 200),
        ({"origin": ORIGIN, "content-type": "application/json"}, 200),
        ({"origin": ORIGIN, "content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "text/plain"}, 415),
        ({"origin": "https://other.example", "content-type": "text/plain"}, 403),
    ],
)
def test_json_that_is_called_text_is_read_from_allowed_origins_only(open_server, headers, status):
    sent = json.dumps({"metadata": {"a": "b"}}).encode()
    answer = open_server.client.post("/lg/threads", content=sent, headers=headers)
    assert answer.status_code == status, answer.text
    elsewhere = open_server.client.post("/runs", content=b"{}", headers=headers)
    assert elsewhere.status_code in (400, 403, 415)
    if headers["content-type"].startswith("text/plain"):
        assert elsewhere.status_code != 400


def test_a_page_elsewhere_may_ask_and_read_what_clients_need(open_server):
    asked = {
        "origin": ORIGIN,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,x-api-key,x-auth-scheme,last-event-id",
        "access-control-request-private-network": "true",
    }
    told = open_server.client.options("/lg/threads", headers=asked)
    assert told.status_code == 200, told.text
    assert told.headers["access-control-allow-private-network"] == "true"
    assert told.headers["access-control-allow-origin"] == ORIGIN

    answer = open_server.client.post("/lg/assistants/search", headers={"origin": ORIGIN})
    exposed = answer.headers["access-control-expose-headers"].lower()
    for name in ("content-location", "location", "x-pagination-total", "x-pagination-next"):
        assert name in exposed
    refused = asked | {"origin": "https://other.example"}
    assert open_server.client.options("/lg/threads", headers=refused).status_code == 400


def test_the_places_of_a_run_are_named_without_where_we_are_mounted(server, thread):
    answer = server.client.post(f"/lg/threads/{thread}/runs/stream", json=INPUT)

    run_id = answer.headers["content-location"].rpartition("/")[2]
    assert answer.headers["content-location"] == f"/threads/{thread}/runs/{run_id}"
    place, _, asked = answer.headers["location"].partition("?")
    assert place == f"/threads/{thread}/runs/{run_id}/stream"
    assert asked == "stream_mode=values"
    waited = server.client.post(f"/lg/threads/{thread}/runs/wait", json=INPUT)
    assert waited.headers["location"].endswith("/join")
    begun = server.client.post(f"/lg/threads/{thread}/runs", json=INPUT)
    assert begun.headers["content-location"].endswith(begun.json()["run_id"])


def test_ids_may_be_encoded_for_an_address_and_in_capitals(server, thread):
    encoded = thread.replace("-", "%2D")
    assert server.client.get(f"/lg/threads/{encoded}").json()["thread_id"] == thread
    assert server.client.get(f"/lg/threads/{thread.upper()}").json()["thread_id"] == thread


def test_a_thread_says_what_it_is_of_from_its_first_run_on(server, thread):
    assert server.client.get(f"/lg/threads/{thread}").json()["metadata"] == {}
    server.client.post(f"/lg/threads/{thread}/runs/wait", json=INPUT)
    known = server.client.get(f"/lg/threads/{thread}").json()["metadata"]
    assert known == {
        "graph_id": "runwright",
        "assistant_id": "417250f7-f507-5a0d-a2a0-0d9a98950317",
    }
    for sought in known.items():
        body = {"metadata": dict([sought]), "ids": [thread]}
        [found] = server.client.post("/lg/threads/search", json=body).json()
        assert found["thread_id"] == thread


def test_a_search_says_how_many_there_are_and_where_the_next_begin(server):
    for _ in range(3):
        server.client.post("/lg/threads", json={"metadata": {"kind": "counted"}})
    body = {"metadata": {"kind": "counted"}, "limit": 2}
    answer = server.client.post("/lg/threads/search", json=body)
    assert answer.headers["x-pagination-total"] == "3"
    assert answer.headers["x-pagination-next"] == "2"
    last = server.client.post("/lg/threads/search", json=body | {"offset": 2})
    assert len(last.json()) == 1
    assert "x-pagination-next" not in last.headers


def test_a_body_is_bounded_and_so_are_the_streams_of_an_owner(tmp_path):
    with serving(tmp_path, max_body="2000", streams_per_owner="1", tools=GATE) as bounded:
        body = INPUT | {"metadata": {"a": "b" * 3_000}}
        assert bounded.client.post("/lg/runs", json=body).status_code == 413
        asked = INPUT | {"input": {"prompt": "pass gate bounded"}}
        with bounded.client.stream("POST", "/lg/runs/stream", json=asked) as first:
            assert first.status_code == 200
            assert bounded.client.post("/lg/runs/stream", json=INPUT).status_code == 429
            bounded.open_gate("bounded")
            first.read()
        assert bounded.client.post("/lg/runs/stream", json=INPUT).status_code == 200


def test_a_fault_in_a_request_names_no_machinery_of_ours(server, thread):
    given = INPUT | {"command": {"resume": 1}, "input": None}
    answer = server.client.post(f"/lg/threads/{thread}/runs", json=given)
    assert answer.status_code == 409
    for text in (answer.text, server.client.post("/lg/runs", json={"input": []}).text):
        assert "Traceback" not in text
        assert "pydantic" not in text
