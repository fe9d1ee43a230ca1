"""Threads over HTTP, and in the terminal, at a real server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.routes.lists import RunList, ThreadAnswer, ThreadExport, ThreadList
from tests.support.servers.commands.call import call
from tests.support.servers.commands.process import running
from tests.support.servers.documented import documented
from tests.support.servers.server_process import ServerProcess, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("threads")) as server:
        yield server


def posted(server: ServerProcess, prompt: str, **given: Any) -> dict[str, Any]:
    answer = server.client.post("/runs/wait?timeout=300", json={"prompt": prompt} | given)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def test_a_thread_is_read_named_paged_exported_and_removed(server: ServerProcess) -> None:
    first = posted(server, "2 + 2", thread_name="sums")
    path = f"/threads/{first['thread_id']}"
    second = posted(server, "3 + 3", thread_name="sums")
    third = posted(server, "4 + 4", thread_id=first["run_id"])
    get = server.client.get

    assert [turn["prompt"] for turn in third["conversation"]["turns"]] == ["2 + 2", "3 + 3"]
    thread = documented(ThreadAnswer, get(path).content)
    assert (thread["runs"], thread["last_run"]["run_id"]) == (3, third["run_id"])
    assert documented(ThreadList, get("/threads?name=sums").content)["threads"] == [thread]
    assert get("/threads?name=other").json() == {"threads": [], "next_cursor": None}
    runs = documented(RunList, get(f"{path}/runs?limit=2&order=asc").content)
    assert [run["run_id"] for run in runs["runs"]] == [first["run_id"], second["run_id"]]
    cursor = runs["next_cursor"]
    rest = get(f"{path}/runs", params={"order": "asc", "limit": 2, "cursor": cursor}).json()
    assert [run["run_id"] for run in rest["runs"]] == [third["run_id"]]
    exported = documented(ThreadExport, get(f"{path}/export").content)
    told = [get(f"/runs/{one['run_id']}").json() for one in (first, second, third)]
    added = ("server_time", "shortened")
    assert exported == thread | {
        "records": [{n: v for n, v in one.items() if n not in added} for one in told]
    }
    changed = server.client.patch(path, json={"name": None, "metadata": {"class": "4b"}}).json()
    assert changed == thread | {"name": None, "metadata": {"class": "4b"}}
    assert server.client.delete(path).status_code == 204
    for gone in (path, f"{path}/runs", f"{path}/export"):
        assert get(gone).json()["type"] == "urn:runwright:problem:thread-not-found"
    again = server.client.post("/runs", json={"prompt": "1 + 1", "thread_id": first["run_id"]})
    assert again.status_code == 404


@pytest.mark.parametrize(
    "given",
    [
        {"thread_name": ""},
        {"thread_name": " a"},
        {"thread_name": "a\nb"},
        {"thread_name": "a" * 101},
        {"thread_id": "a", "thread_name": "a"},
    ],
)
def test_what_no_thread_is_called_is_refused(server: ServerProcess, given: Any) -> None:
    answer = server.client.post("/runs", json={"prompt": "2 + 2"} | given)

    assert answer.status_code == 400, answer.text


def test_a_taken_name_and_a_run_under_way_are_conflicts(server: ServerProcess) -> None:
    posted(server, "2 + 2", thread_name="taken")
    other = server.client.post("/runs", json={"prompt": "2 + 2", "mode": "plan"}).json()["run_id"]
    server.until(other, lambda run: run["status"] == "waiting")
    path = f"/threads/{other}"
    behind = server.client.post("/runs", json={"prompt": "3 + 3", "thread_id": other}).json()

    named = server.client.patch(path, json={"name": "taken"})
    removed = server.client.delete(path)

    assert (named.status_code, removed.status_code) == (409, 409)
    waiting = server.get(behind["run_id"])
    assert waiting["waits_for_run"] == {"run_id": other, "why": "approval"}
    assert server.client.post(f"/runs/{other}/cancel").is_success
    assert server.settled(behind["run_id"])["status"] == "completed"
    assert server.client.delete(path).status_code == 204


def test_the_terminal_goes_on_with_a_thread_with_and_without_a_server(tmp_path: Path) -> None:
    with serving(tmp_path):
        for prompt in ("2 + 2", "3 + 3"):
            assert call("run", "--thread", "sums", prompt, folder=tmp_path).returncode == 0
        beside = call("threads", "sums", "--json", folder=tmp_path)
    alone = call("threads", "sums", "--json", folder=tmp_path)
    assert json.loads(beside.stdout) == json.loads(alone.stdout)
    thread = json.loads(alone.stdout)
    [last, first] = thread["runs"]
    assert (last["prompt"], first["prompt"]) == ("3 + 3", "2 + 2")

    record = call("run", "--thread", "sums", "4 + 4", "--json", folder=tmp_path).stdout
    assert len(json.loads(record)["conversation"]["turns"]) == 2
    listed = call("list", "--thread", thread["thread_id"], folder=tmp_path).stdout
    assert len(listed.splitlines()) == 3
    assert call("threads", "sums", "--rename", "adding", folder=tmp_path).returncode == 0
    exported = json.loads(call("threads", "adding", "--export", folder=tmp_path).stdout)
    assert [one["prompt"] for one in exported["records"]] == ["2 + 2", "3 + 3", "4 + 4"]
    assert call("threads", "sums", folder=tmp_path).returncode == 2
    assert call("threads", "adding", "--delete", folder=tmp_path).returncode == 0
    assert call("threads", folder=tmp_path).stdout == "no threads\n"


def test_without_a_server_a_thread_whose_run_has_not_ended_takes_no_other(tmp_path: Path) -> None:
    stops = call("run", "--thread", "sums", "2 + 2", folder=tmp_path, approve="always")
    refused = call("run", "--thread", "sums", "3 + 3", folder=tmp_path)

    assert (stops.returncode, refused.returncode) == (3, 2)
    assert "comes first" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_the_terminal_says_which_run_it_waits_for(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        asked = server.client.post(
            "/runs", json={"prompt": "2 + 2", "mode": "plan", "thread_name": "sums"}
        ).json()["run_id"]
        server.until(asked, lambda run: run["status"] == "waiting")
        with running("run", "--thread", "sums", "3 + 3", folder=tmp_path) as behind:
            behind.until(f"it begins when run {asked} of its thread has ended")
            assert server.client.post(f"/runs/{asked}/approve").is_success
            assert behind.ended() == 0
