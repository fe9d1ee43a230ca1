"""`mode: plan`, approve, reject and `/plan` over HTTP, and servers that are killed in between."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.routes.commands import DraftAnswer
from api.schemas import Problem
from api.views import RunAnswer
from tests.support.patience import patience
from tests.support.servers.commands.call import call
from tests.support.servers.documented import documented
from tests.support.servers.server_process import ServerProcess, http_client, serving
from tests.support.wording.messages import wording

PROMPT = "add a todo to buy milk, then show my tasks"
EDITED = {"steps": [{"tool": "todo_store.add", "input": {"text": "buy bread"}}]}
DEFAULT_OWNER = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server


def planned(server: ServerProcess, prompt: str = PROMPT) -> str:
    """The id of a run that waits."""
    answer = server.client.post("/runs/wait?timeout=300", json={"prompt": prompt, "mode": "plan"})
    assert (answer.status_code, answer.json()["status"]) == (202, "waiting"), answer.text
    return str(answer.json()["run_id"])


def post(server: ServerProcess, path: str, body: Any = None) -> httpx.Response:
    return server.client.post(path, json=body) if body is not None else server.client.post(path)


def problem(answer: httpx.Response, status: int) -> Problem:
    assert answer.status_code == status, answer.text
    return Problem.model_validate_json(answer.content, strict=True, extra="forbid")


def todos(server: ServerProcess) -> list[str]:
    run = server.settled(server.post("show all my tasks"))
    return [todo["text"] for todo in run["result"]["output"]]


def test_a_run_in_mode_plan_waits_and_shows_what_it_would_change(server: ServerProcess):
    answer = post(server, "/runs", {"prompt": PROMPT, "mode": "plan"})
    run_id = answer.json()["run_id"]
    run = server.client.get(f"/runs/{run_id}/wait?timeout=300")

    assert (answer.status_code, run.status_code) == (201, 202)
    documented(RunAnswer, run.content)
    assert run.json()["approval"]["tools"] == [
        {"tool": "todo_store.add", "effects": True, "steps": [1]},
        {"tool": "todo_store.list", "effects": False, "steps": [2]},
    ]
    assert run.json()["actions"] == ["cancel", "approve", "reject"]
    listed = server.client.get(f"/runs/{run_id}/events").json()["events"]
    assert listed[-1]["type"] == "run.waiting"
    assert listed[-1]["data"]["expires_at"] == run.json()["approval"]["expires_at"]


def test_approving_executes_once_and_a_second_time_is_a_conflict(server: ServerProcess):
    run_id = planned(server)
    answer = post(server, f"/runs/{run_id}/approve")
    documented(RunAnswer, answer.content)
    run = server.settled(run_id)

    assert (answer.status_code, run["status"]) == (200, "completed")
    assert [mark["what"] for mark in run["marks"]] == ["approved"]
    for path in ("approve", "reject"):
        told = problem(post(server, f"/runs/{run_id}/{path}"), 409)
        assert told.type == "urn:runwright:problem:not-waiting"
        assert told.detail == wording(
            "problems.not-waiting.detail", run_id=run_id, status="completed"
        )


def test_an_edited_plan_is_checked_and_then_executed(server: ServerProcess):
    run_id = planned(server)
    unfit = {"plan": {"steps": [{"tool": "todo_store.add", "input": {"words": "x"}}]}}
    told = problem(post(server, f"/runs/{run_id}/approve", unfit), 400)
    assert told.type == "urn:runwright:problem:plan-unfit"
    # The text that is required, and the words that the tool does not know.
    assert [error["field"] for error in told.errors or []] == ["plan", "plan"]
    proposed = server.get(run_id)["plan"]

    assert post(server, f"/runs/{run_id}/approve", {"plan": EDITED}).status_code == 200
    run = server.settled(run_id)
    assert run["result"]["output"]["text"] == "buy bread"
    assert run["plan_proposed"] == {"steps": proposed["steps"]}
    again = planned(server)
    shown = server.get(again)["plan"]
    assert post(server, f"/runs/{again}/approve", {"plan": shown}).status_code == 200
    assert server.settled(again)["plan_proposed"] is None


def test_a_plan_is_checked_without_deciding_anything(server: ServerProcess):
    run_id = planned(server)
    unfit = {"plan": {"steps": [{"tool": "todo_store.add", "input": {"words": "x"}}]}}
    for body in (unfit, unfit | {"check": True}):
        told = problem(post(server, f"/runs/{run_id}/approve", body), 400)
        assert told.type == "urn:runwright:problem:plan-unfit"

    answer = post(server, f"/runs/{run_id}/approve", {"plan": EDITED, "check": True})
    assert (answer.status_code, answer.json()["status"]) == (200, "waiting")
    run = server.get(run_id)
    assert (run["status"], run["plan_proposed"], run["marks"]) == ("waiting", None, [])
    post(server, f"/runs/{run_id}/reject")
    told = problem(post(server, f"/runs/{run_id}/approve", {"plan": EDITED, "check": True}), 409)
    assert told.type == "urn:runwright:problem:not-waiting"


def test_a_plan_about_all_is_told_so_before_it_is_approved(server: ServerProcess):
    """What is done is what was shown, in one step."""
    run_id = planned(server)
    [checkpoint, *_] = server.client.get(f"/runs/{run_id}/history").json()["checkpoints"]
    plan = {
        "steps": [
            {"tool": "calculator", "input": {"expression": "15 / 100 * 240"}},
            {"tool": "todo_store.add", "input": {"text": "pay {step_1_output} {{euros}}"}},
            {"tool": "todo_store.complete", "input": {"todo": ["last", "pay 36 {{EUROS}}"]}},
            {"tool": "todo_store.delete", "input": {"todo": "all"}},
        ]
    }
    asked = {"checkpoint_id": checkpoint["checkpoint_id"], "state": {"plan": plan}}
    fork = post(server, f"/runs/{run_id}/fork", asked).json()["run_id"]
    run = server.client.get(f"/runs/{fork}/wait?timeout=300")
    documented(RunAnswer, run.content)
    told = {tool["tool"]: tool.get("scope") for tool in run.json()["approval"]["tools"]}

    assert told == {
        "calculator": None,
        "todo_store.add": None,
        "todo_store.complete": ["step 3: 2 to-dos: 'last', 'pay 36 {{EUROS}}'"],
        "todo_store.delete": ["step 4: every to-do"],
    }
    post(server, f"/runs/{fork}/approve")
    done = server.settled(fork)
    added, completed, deleted = (made["output"] for made in done["execution_log"][1:])
    assert done["plan"]["steps"][1]["input"] == {"text": "pay {step_1_output} {{euros}}"}
    assert added["text"] == "pay 36 {euros}"
    assert [todo["id"] for todo in completed] == [added["id"]]
    assert deleted[-1] == completed[0]
    assert done["result"]["summary"].endswith(f"{len(deleted)} to-do{'s' * (len(deleted) > 1)}")
    assert todos(server) == []


def test_rejecting_settles_as_cancelled_with_the_reason(server: ServerProcess):
    run_id = planned(server)
    before = todos(server)
    run = post(server, f"/runs/{run_id}/reject", {"reason": "too much milk"}).json()

    assert (run["status"], run["error"]["type"]) == ("cancelled", "rejected")
    assert "too much milk" in run["error"]["message"]
    assert todos(server) == before
    problem(post(server, f"/runs/{run_id}/approve"), 409)
    assert post(server, f"/runs/{run_id}/cancel").status_code == 200  # it is cancelled already


def test_a_waiting_run_can_be_cancelled(server: ServerProcess):
    run_id = planned(server)
    answer = post(server, f"/runs/{run_id}/cancel").json()

    assert (answer["done"], answer["in_flight"], len(answer["not_done"])) == ([], None, 2)
    problem(post(server, f"/runs/{run_id}/approve"), 409)


@pytest.mark.parametrize("path", ["approve", "reject"])
def test_an_unknown_run_is_404_and_a_field_that_is_none_400(server: ServerProcess, path: str):
    problem(post(server, f"/runs/{DEFAULT_OWNER}/{path}"), 404)
    assert (
        "'nothing'"
        in problem(post(server, f"/runs/{DEFAULT_OWNER}/{path}", {"nothing": 1}), 400).detail
    )


def test_an_unknown_mode_is_refused(server: ServerProcess):
    problem(post(server, "/runs", {"prompt": PROMPT, "mode": "dream"}), 400)


def test_of_thirty_two_decisions_at_once_one_holds(server: ServerProcess):
    run_id = planned(server, "what is 6 * 7")
    together = threading.Barrier(32)

    def decide(number: int) -> int:
        together.wait()
        path = "approve" if number % 2 else "reject"
        url = f"{server.url}/runs/{run_id}/{path}"
        with http_client() as client:
            return client.post(url).status_code

    with ThreadPoolExecutor(32) as threads:
        statuses = sorted(threads.map(decide, range(32)))

    assert statuses == [200] + [409] * 31
    run = server.settled(run_id)
    assert len(run["marks"]) == 1
    assert (run["status"] == "completed") == (run["marks"][0]["what"] == "approved")


def test_a_plan_without_a_run(server: ServerProcess):
    runs = server.client.get("/runs").json()
    answer = post(server, "/plan", {"prompt": PROMPT})
    documented(DraftAnswer, answer.content)

    assert [step["tool"] for step in answer.json()["steps"]] == [
        "todo_store.add",
        "todo_store.list",
    ]
    assert answer.json()["error"] is None
    assert server.client.get("/runs").json() == runs
    refused = post(server, "/plan", {"prompt": "hum a tune"})
    assert (refused.status_code, refused.json()["steps"]) == (200, [])
    assert refused.json()["error"]["type"] == "not_understood"
    problem(post(server, "/plan", {"prompt": " "}), 400)


@pytest.mark.parametrize(("approve", "waits"), [("always", True), ("effects", False)])
def test_the_server_can_ask_for_every_run(tmp_path: Path, approve: str, waits: bool):
    with serving(tmp_path, approve=approve) as server:
        without = server.client.post(
            "/runs/wait?timeout=300", json={"prompt": "what is 2 + 3"}
        ).json()
        with_effects = server.client.post("/runs/wait?timeout=300", json={"prompt": PROMPT}).json()

    assert without["status"] == ("waiting" if waits else "completed")
    assert with_effects["status"] == "waiting"


def test_what_waits_is_the_same_after_every_kill_and_can_then_be_approved(tmp_path: Path):
    before: dict[str, Any] = {}
    for _ in range(4):
        with serving(tmp_path) as server:
            run_id = before.get("run_id") or planned(server)
            seen = {**server.get(run_id), "server_time": None}
            assert seen == (before or seen)
            before = seen
            server.kill()
    with serving(tmp_path) as server:
        assert post(server, f"/runs/{run_id}/approve").status_code == 200
        run = server.settled(run_id)
        assert [mark["what"] for mark in run["marks"]] == ["approved"]
        assert todos(server) == ["buy milk"]


@pytest.mark.slow  # tests of kills have it, too
@pytest.mark.calls
def test_a_kill_right_after_the_approval_neither_loses_nor_doubles_it(tmp_path: Path):
    """Each round is killed at another moment after approvals were sent; some are not answered."""
    prompts = [f"add a todo number {number}, then what is {number} + 1" for number in range(12)]
    answered: list[str] = []
    with serving(tmp_path) as server:
        ids = [planned(server, prompt) for prompt in prompts]
        server.kill()
    for number in range(6):
        with serving(tmp_path) as server:
            pair = ids[2 * number : 2 * number + 2]
            timer = threading.Timer(0.003 * number, server.process.kill)
            for run_id in pair:
                url = f"{server.url}/runs/{run_id}/approve"
                timer.start() if run_id == pair[1] else None
                try:
                    told = httpx.post(url, timeout=patience(), trust_env=False)
                except httpx.HTTPError:
                    continue
                assert told.status_code == 200, told.text
                answered.append(run_id)
            timer.join()
            server.kill()
    with serving(tmp_path) as server:
        for run_id in ids:
            if server.get(run_id)["status"] == "waiting" and run_id not in answered:
                answer = post(server, f"/runs/{run_id}/approve")
                assert answer.status_code in (200, 409), answer.text
        runs = [server.settled(run_id) for run_id in ids]
        assert [run["status"] for run in runs] == ["completed"] * 12
        for run in runs:
            whats = [mark["what"] for mark in run["marks"]]
            assert whats.count("approved") == 1, whats
            events = server.client.get(f"/runs/{run['run_id']}/events").json()["events"]
            types = [event["type"] for event in events]
            assert types.index("run.approved") < types.index("step.started")
        assert sorted(todos(server)) == sorted(f"number {number}" for number in range(12))


def test_a_run_that_nobody_decides_on_expires_by_itself_and_at_the_start(tmp_path: Path):
    with serving(tmp_path, approval_expires="1.5") as server:
        plans = {"prompt": PROMPT, "mode": "plan"}
        run = server.settled(post(server, "/runs", plans).json()["run_id"])
        second = post(server, "/runs/wait?timeout=300", plans).json()["run_id"]
        server.kill()
    assert run["status"] == "cancelled"
    assert run["error"]["message"] == wording("approval.expired", within="1.5 s")
    assert [mark["what"] for mark in run["marks"]] == ["expired"]
    time.sleep(1.5)  # by then its time is over
    with serving(tmp_path) as server:
        late = post(server, f"/runs/{second}/approve")
        run = server.settled(second)
    assert late.status_code == 409
    assert run["status"] == "cancelled"


def test_a_task_of_the_command_line_that_waits_is_left_to_be_approved_on_a_server(tmp_path: Path):
    """Nobody else can reach the database while the command has it."""
    ran = call("run", PROMPT, folder=tmp_path, approve="always")
    with serving(tmp_path) as server:
        (run,) = server.client.get("/runs").json()["runs"]
        assert post(server, f"/runs/{run['run_id']}/approve").status_code == 200
        assert server.settled(run["run_id"])["status"] == "completed"

    assert ran.returncode == 3, ran.stderr
    assert "waiting for a person" in ran.stdout
    assert f"`runwright approve {run['run_id']}`" in ran.stderr


@pytest.mark.parametrize(
    ("tool", "given", "field"),
    [
        ("todo_store.add", {"text": ""}, "text"),
        ("todo_store.add", {"text": " \n\u200b"}, "text"),
        ("todo_store.add", {"text": "x" * 2001}, "text"),
        ("todo_store.add", {"text": "a\0b"}, "text"),
        ("todo_store.update", {"todo": "1", "text": ""}, "text"),
        ("todo_store.update", {"todo": " ", "text": "tea"}, "todo"),
        ("todo_store.get", {"todo": ""}, "todo"),
        ("todo_store.delete", {"todo": []}, "todo"),
        ("todo_store.complete", {"todo": ["1", ""]}, "todo"),
    ],
)
def test_an_edited_input_that_its_tool_must_refuse_is_refused_at_once(
    server: ServerProcess, tool: str, given: dict[str, Any], field: str
):
    """Nothing of the plan is done, and the run waits as before."""
    run_id = planned(server)
    steps = [*EDITED["steps"], {"tool": tool, "input": given}]
    refused = problem(post(server, f"/runs/{run_id}/approve", {"plan": {"steps": steps}}), 400)

    assert refused.type == "urn:runwright:problem:plan-unfit"
    assert f"step 2: {field} of {tool}" in refused.detail
    assert server.client.get(f"/runs/{run_id}").json()["status"] == "waiting"
    post(server, f"/runs/{run_id}/reject")
