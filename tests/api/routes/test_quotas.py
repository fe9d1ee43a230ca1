"""One owner goes beyond each limit of a real server; the other notices nothing of it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.routes.server import BudgetAnswer
from graph.settings.configured import new_key
from tests.support.servers.documented import documented
from tests.support.servers.server_process import http_client, serving
from tests.support.wording.messages import wording

(ALICE, ALICES), (BOB, BOBS) = new_key("alice"), new_key("bob")

#: Refused, so that nothing is executed.
REFUSED = "hum a tune"


@contextmanager
def owners(folder: Path, **settings: str) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """A client of each of two owners of one server."""
    with (
        serving(folder, api_keys=f"{ALICES},{BOBS}", **settings) as server,
        http_client(server.url, headers={"x-api-key": ALICE}) as alice,
        http_client(server.url, headers={"x-api-key": BOB}) as bob,
    ):
        yield alice, bob


def post(client: httpx.Client, prompt: str = REFUSED) -> httpx.Response:
    """Post a task and wait for its end."""
    return client.post("/runs/wait?timeout=300", json={"prompt": prompt})


def quota(client: httpx.Client) -> dict[str, Any]:
    answer = client.get("/budget")
    documented(BudgetAnswer, answer.json())
    return dict(answer.json()["quota"])


def refused(answer: httpx.Response, status: int, kind: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.json()["type"] == f"urn:runwright:problem:{kind}"


def listed(client: httpx.Client) -> int:
    return int(client.get("/runs").json()["total"])


def test_posts_of_a_minute(tmp_path: Path) -> None:
    """On a slow machine some have come back by the time of the last."""
    with owners(tmp_path, posts_per_minute="3") as (alice, bob):
        accepted = 0
        while (over := post(alice)).status_code == 201:
            accepted += 1
        refused(over, 429, "too-many-posts")
        assert 1 <= int(over.headers["retry-after"]) <= 20
        assert listed(alice) == accepted >= 3
        while (over := alice.post("/plan", json={"prompt": REFUSED})).status_code == 200:
            pass
        refused(over, 429, "too-many-posts")
        told = quota(alice)
        assert 0 < told["used"]["posts"] <= told["limit"]["posts_per_minute"] == 3
        assert quota(bob)["used"] == {"posts": 0, "runs": 0, "bytes": 0}
        assert post(bob).status_code == 201
        assert listed(alice) == accepted


def test_characters_of_a_prompt_and_steps_of_a_plan(tmp_path: Path) -> None:
    """A prompt that is too long makes no run; a plan that is too long ends one before it begins."""
    with owners(tmp_path, max_prompt="40", max_steps="2") as (alice, bob):
        refused(post(alice, "h" * 41), 400, "prompt-rejected")
        refused(alice.post("/plan", json={"prompt": "h" * 41}), 400, "prompt-rejected")
        assert listed(alice) == 0
        assert post(alice, "h" * 40).status_code == 201
        long = post(alice, "add 3 tasks: eggs, bread, and butter").json()
        assert (long["status"], long["error"]["type"]) == ("failed", "plan_rejected")
        assert long["execution_log"] == []
        assert post(bob, "add todo eggs").json()["status"] == "completed"


@pytest.mark.parametrize("keyed", [False, True])
def test_runs_that_are_kept(tmp_path: Path, keyed: bool) -> None:
    with owners(tmp_path, kept_runs="2") as (alice, bob):
        run_id = post(alice).json()["run_id"]
        post(alice)
        headers = {"idempotency-key": "one"} if keyed else {}
        for _ in range(2):
            over = alice.post("/runs", json={"prompt": REFUSED}, headers=headers)
            refused(over, 507, "no-room")
        assert quota(alice)["used"]["runs"] == quota(alice)["limit"]["runs"] == listed(alice) == 2
        assert post(bob).status_code == 201
        assert quota(bob)["used"]["runs"] == 1

        assert alice.delete(f"/runs/{run_id}").status_code == 204
        assert quota(alice)["used"]["runs"] == 1
        again = alice.post("/runs", json={"prompt": REFUSED}, headers=headers)
        assert again.status_code == 201


def test_todos_that_are_kept(tmp_path: Path) -> None:
    def added(client: httpx.Client, text: str) -> Any:
        return client.post("/runs/wait", json={"prompt": f"add todo {text}"}).json()

    with owners(tmp_path, kept_todos="2") as (alice, bob):
        assert [added(alice, text)["status"] for text in ("milk", "bread")] == ["completed"] * 2
        over = added(alice, "eggs")
        assert (over["status"], over["error"]["message"]) == (
            "failed",
            wording("todos.most").replace("1", "2"),
        )
        assert added(bob, "eggs")["status"] == "completed"


def test_bytes_that_are_kept(tmp_path: Path) -> None:
    with owners(tmp_path, kept_bytes="20000") as (alice, bob):
        run_id = post(alice, "hum " * 1_500).json()["run_id"]
        used = quota(alice)["used"]["bytes"]
        assert used > quota(alice)["limit"]["bytes"] == 20_000
        refused(post(alice), 507, "no-room")
        refused(alice.post(f"/runs/{run_id}/retry"), 507, "no-room")
        assert quota(alice)["used"]["bytes"] == used
        assert post(bob).status_code == 201
        alice.delete(f"/runs/{run_id}")
        assert post(alice).status_code == 201


def test_retries_and_forks_of_a_run(tmp_path: Path) -> None:
    with owners(tmp_path, retries_per_run="2", forks_per_run="2") as (alice, bob):
        mine, theirs = (post(client).json()["run_id"] for client in (alice, bob))
        for _ in range(2):
            assert alice.post(f"/runs/{mine}/retry").status_code == 200
            alice.get(f"/runs/{mine}/wait?timeout=300")
        before = alice.get(f"/runs/{mine}").json()
        refused(alice.post(f"/runs/{mine}/retry"), 507, "run-used-up")
        assert alice.get(f"/runs/{mine}").json()["marks"] == before["marks"]

        body = alice.get(f"/runs/{mine}/history").json()["checkpoints"][0]
        fork = {"checkpoint_id": body["checkpoint_id"]}
        for _ in range(2):
            assert alice.post(f"/runs/{mine}/fork", json=fork).status_code == 201
        refused(alice.post(f"/runs/{mine}/fork", json=fork), 507, "run-used-up")
        assert len(alice.get(f"/runs/{mine}").json()["forks"]) == 2
        assert bob.post(f"/runs/{theirs}/retry").status_code == 200


def test_without_limits_there_are_none(tmp_path: Path) -> None:
    names = ("posts_per_minute", "kept_runs", "kept_bytes", "retries_per_run", "forks_per_run")
    with owners(tmp_path, **dict.fromkeys(names, "0")) as (alice, _):
        run_id = post(alice).json()["run_id"]
        assert alice.post(f"/runs/{run_id}/retry").status_code == 200
        assert set(quota(alice)["limit"].values()) == {None}


@pytest.mark.slow  # megabytes are looked through
@pytest.mark.sqlite
def test_searches_of_many_words_over_large_prompts_do_not_hold_up_others(tmp_path: Path) -> None:
    """The lists of the other end while the first of one's searches go on."""
    large, text = ("a b " * 5_000)[:19_998], ".".join("ab"[place % 2] for place in range(500))
    with owners(tmp_path) as (alice, bob), ThreadPoolExecutor(8) as clients:
        post(bob)
        for answer in clients.map(lambda _: post(alice, large), range(24)):
            assert answer.status_code == 201
        search = {"text": text, "limit": 200}
        found, cursor, total = 0, None, 0
        while found == 0 or cursor:  # what is found in parts is all
            asked = search | ({"cursor": cursor} if cursor else {})
            page = alice.post("/runs/search", json=asked).json()
            found, cursor = found + len(page["runs"]), page["next_cursor"]
            assert page["total_is_lower_bound"] or page["total"] == 24
            total += 1
        assert found == 24
        assert total > 1

        searches = [clients.submit(alice.post, "/runs/search", json=search) for _ in range(7)]
        for _ in range(5):
            assert listed(bob) == 1
        assert not all(one.done() for one in searches)
        assert {one.result().status_code for one in searches} == {200}


def test_cursors_tell_nothing_of_others(tmp_path: Path) -> None:
    """As many runs of one's own make the same cursor, whatever others have by then."""
    with owners(tmp_path) as (alice, bob):
        for client in (alice, alice, alice, bob, alice, bob):
            post(client)
        first = bob.get("/runs?limit=1").json()["next_cursor"]
    with owners(tmp_path / "..", database_url=f"sqlite:///{tmp_path}/alone.db") as (_, bob):
        post(bob)
        post(bob)
        assert bob.get("/runs?limit=1").json()["next_cursor"] == first
