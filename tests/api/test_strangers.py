"""Two owners on one server: with the other's ids every call is answered as if there were no such.

The calls are those of the server's description, so that none can be forgotten; they are made with
parameters and bodies that are right for the run in question, which the owner could make them with.
"""

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from graph.settings.configured import new_key
from graph.state import Status
from tests.support.patience import wait_until
from tests.support.servers.api_calls import calls
from tests.support.servers.server_process import ServerProcess, http_client, serving

LONG = "sleep 600 seconds"
TOOLS = "examples.flaky:sleep,examples.flaky:fail_times"

#: Answers to everything, and of no use with a run that is not there.
SAME_FOR_ALL = {"date", "server"}


@dataclass
class Owner:
    """One owner's client, and the runs that it has in every status."""

    client: httpx.Client
    runs: dict[str, str] = field(default_factory=dict)

    def post(self, prompt: str, mode: str = "execute") -> str:
        answer = self.client.post("/runs", json={"prompt": prompt, "mode": mode})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["run_id"])

    def rest(self, run_id: str) -> str:
        self.client.get(f"/runs/{run_id}/wait", params={"timeout": 300})
        return run_id

    def begun(self, run_id: str) -> str:
        """Wait until an attempt is under way, or waited for."""

        def has_begun() -> bool:
            run = self.record(run_id)
            return bool(run["current"] and (run["execution_log"] or run["prompt"] == LONG))

        wait_until(has_begun)
        return run_id

    def record(self, run_id: str) -> dict[str, Any]:
        return {**self.client.get(f"/runs/{run_id}").json(), "server_time": None}

    def records(self) -> list[dict[str, Any]]:
        return [self.record(run_id) for run_id in self.runs.values()]

    def checkpoint(self, run_id: str) -> str:
        page = self.client.get(f"/runs/{run_id}/history").json()["checkpoints"]
        return str(page[0]["checkpoint_id"] if page else uuid.uuid4())


@pytest.fixture(scope="module")
def owners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Owner]]:
    keys = {name: new_key(name) for name in ("alice", "bob")}
    folder: Path = tmp_path_factory.mktemp("server")
    entries = ",".join(str(kept) for _, kept in keys.values())
    with serving(folder, tools=TOOLS, backoff="600", in_flight="2", api_keys=entries) as server:
        both = {name: Owner(client_of(server, key)) for name, (key, _) in keys.items()}
        for owner in both.values():
            fill(owner)
        for owner in both.values():
            owner.runs["running"] = owner.begun(owner.post(LONG))
        for owner in both.values():
            owner.runs["pending"] = owner.post(LONG)
        yield both
        for owner in both.values():
            owner.client.close()


def client_of(server: ServerProcess, key: str) -> httpx.Client:
    headers = {"authorization": f"Bearer {key}"}
    return http_client(server.url, headers=headers)


def fill(owner: Owner) -> None:
    """Give an owner runs in all statuses that hold no slot."""
    owner.runs["completed"] = owner.rest(owner.post("add todo milk, then calculate 2 + 2"))
    owner.runs["failed"] = owner.rest(owner.post("calculate 1 / 0"))
    owner.runs["waiting"] = owner.rest(owner.post("add todo milk", mode="plan"))
    owner.runs["cancelled"] = owner.rest(owner.post("add todo milk", mode="plan"))
    owner.client.post(f"/runs/{owner.runs['cancelled']}/cancel")
    owner.runs["in a backoff"] = owner.begun(owner.post("fail 1 times"))


#: What a call is sent besides an id, where it could be right for some run.
BODIES: Mapping[str, Any] = {
    "approve": {"plan": {"steps": [{"tool": "todo_store.list", "input": {}}]}},
    "reject": {"reason": "not today"},
    "retry": {"from_step": 1},
}


def body_of(path: str, body: Any, checkpoint: str) -> Any:
    name = path.rpartition("/")[2]
    return {"checkpoint_id": checkpoint} if name == "fork" else BODIES.get(name, body)


def filled(path: str, run_id: str, checkpoint: str) -> str:
    named = {"run_id": run_id, "other_id": run_id, "checkpoint_id": checkpoint, "n": "1"}
    found = re.sub(r"\{(\w+)\}", lambda match: named[match[1]], path)
    return f"{found}?timeout=0.1" if path.endswith("/wait") else found


def told(
    owner: Owner, method: str, path: str, body: Any, asked: str
) -> tuple[int, str, list[tuple[str, str]]]:
    """All of a problem that is answered, but for the id that was asked for."""
    with owner.client.stream(method, path, json=body) as answer:
        # What is no problem may have no end.
        text = "" if answer.is_success else answer.read().decode().replace(asked, "ID")
    headers = [item for item in answer.headers.items() if item[0] not in SAME_FOR_ALL]
    return answer.status_code, text, sorted(headers)


PAIRS = [("alice", "bob"), ("bob", "alice")]


def test_each_owner_has_runs_in_every_status(owners: dict[str, Owner]):
    for owner in owners.values():
        found = {name: owner.record(run_id)["status"] for name, run_id in owner.runs.items()}
        assert set(found.values()) == set(get_args(Status)), found
        assert found.pop("in a backoff") == "running"
        assert all(name == status for name, status in found.items())


@pytest.mark.parametrize(("me", "other"), PAIRS)
def test_a_run_of_the_other_is_answered_as_one_that_never_was(
    owners: dict[str, Owner], me: str, other: str
):
    mine, theirs = owners[me], owners[other]
    before = mine.records() + theirs.records()
    document = mine.client.get("/openapi.json").json()
    found = {}
    asked = 0
    for method, path, given in calls(document):
        if "{run_id}" not in path:
            continue
        for name, run_id in theirs.runs.items():
            checkpoint = theirs.checkpoint(run_id)
            body = body_of(path, given, checkpoint)
            unknown = str(uuid.uuid4())
            never, answer = (
                told(mine, method, filled(path, one, checkpoint), body, one)
                for one in (unknown, run_id)
            )
            asked += 1
            if answer != never or answer[0] != 404 or "run-not-found" not in answer[1]:
                found[f"{method} {path} of {name}"] = (answer, never)

    assert found == {}
    assert asked >= 15 * len(theirs.runs)
    assert mine.records() + theirs.records() == before


@pytest.mark.parametrize(("me", "other"), PAIRS)
def test_a_checkpoint_of_the_other_is_none_of_ones_own_run(
    owners: dict[str, Owner], me: str, other: str
):
    mine, theirs = owners[me], owners[other]
    own, checkpoint = mine.runs["completed"], theirs.checkpoint(theirs.runs["completed"])
    before = mine.records() + theirs.records()
    unknown = str(uuid.uuid4())
    for method, path, field_name in (
        ("GET", f"/runs/{own}/history/{{}}", None),
        ("GET", f"/runs/{own}/history?before={{}}", None),
        ("POST", f"/runs/{own}/fork", "checkpoint_id"),
    ):
        never, answer = (
            told(mine, method, path.format(one), field_name and {field_name: one}, one)
            for one in (unknown, checkpoint)
        )
        assert answer == never
        assert answer[0] == 404
        assert "checkpoint-not-found" in answer[1]

    assert mine.records() + theirs.records() == before


@pytest.mark.parametrize(("me", "other"), PAIRS)
def test_no_call_tells_of_the_others_runs(owners: dict[str, Owner], me: str, other: str):
    """Those that name no run; the streams of changes have a test of their own."""
    mine, theirs = owners[me], owners[other]
    before = theirs.records()
    document = mine.client.get("/openapi.json").json()
    listed = set()
    for method, path, body in calls(document):
        if "{" in path or path == "/runs/stream" or path == "/runs/wait":
            continue
        answer = mine.client.request(method, path, json=body)
        told_ids = set(re.findall(r"[0-9a-f-]{36}", answer.text + str(answer.headers)))
        assert not told_ids & set(theirs.runs.values()), (method, path)
        listed |= told_ids

    assert set(mine.runs.values()) <= listed
    assert theirs.records() == before
