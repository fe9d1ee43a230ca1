"""`runwright approve` and `reject`: a person in a terminal decides about a plan."""

import hashlib
import socket
from pathlib import Path

import pytest

from tests.support.models.capture_server import capturing
from tests.support.servers.commands.call import call
from tests.support.servers.commands.process import running
from tests.support.servers.server_process import ServerProcess, runwright, serving
from tests.support.wording.messages import wording

TASK = "add todo milk"


def refused() -> str:
    """How a command begins to tell what a server said."""
    return "runwright: " + wording("terminal.server.refused", detail="")


def waiting(server: ServerProcess) -> str:
    body = {"prompt": TASK, "mode": "plan"}
    answer = server.client.post("/runs/wait?timeout=300", json=body)
    assert answer.json()["status"] == "waiting", answer.text
    return str(answer.json()["run_id"])


def test_a_task_in_one_terminal_is_approved_in_another(tmp_path: Path) -> None:
    """`runwright run` names the commands that decide, and goes on when it is approved."""
    with (
        serving(tmp_path, approve="always") as server,
        running("run", TASK, folder=tmp_path) as task,
    ):
        asked = task.until(
            r"waiting for a person: `runwright (approve \S+)` or `runwright (\S+ \S+)`"
        )
        done = runwright(*asked[1].split(), folder=tmp_path)
        assert task.ended() == 0
        record = server.get(task.run_id)
    assert asked[2] == f"reject {task.run_id}"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == wording("terminal.decided.approve", run_id=task.run_id) + "\n"
    assert record["marks"][0]["what"] == "approved"


def test_a_rejected_run_has_the_reason_and_the_second_decision_is_told(tmp_path: Path) -> None:
    """From elsewhere too, by the address of the server."""
    with serving(tmp_path) as server:
        run_id = waiting(server)
        done = call("reject", run_id, "--reason", "no milk", folder=tmp_path)
        record = server.get(run_id)
        again = call("approve", run_id, "--url", server.url, folder=tmp_path / "elsewhere")
        unknown = call("approve", "../todos", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == wording("terminal.decided.reject", run_id=run_id) + "\n"
    assert record["status"] == "cancelled"
    assert record["error"]["message"] == wording("approval.rejected.reason", reason="no milk")
    assert (again.returncode, again.stdout) == (2, "")
    decided = wording("problems.not-waiting.detail", run_id=run_id, status="cancelled")
    assert again.stderr == "runwright: " + wording("terminal.server.refused", detail=decided) + "\n"
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert unknown.stderr.startswith(refused())


@pytest.mark.parametrize("act", ["approve", "reject"])
def test_an_answer_that_decides_nothing_is_not_taken_for_a_decision(
    tmp_path: Path, act: str
) -> None:
    """A proxy sends to another address, say to the same with https."""
    with capturing() as proxy:
        proxy.status, proxy.answer = 301, "<html>moved</html>"
        done = call(act, "any", "--url", proxy.url, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(refused())


def test_with_keys_a_run_is_decided_about_by_its_owner(tmp_path: Path) -> None:
    """The key comes from the environment; another's run is not there."""
    keys = {name: f"rw_{name}_{'x' * 32}" for name in ("ann", "bob")}
    hashes = ",".join(f"{n}:{hashlib.sha256(k.encode()).hexdigest()}" for n, k in keys.items())
    with serving(tmp_path, api_keys=hashes) as server:
        server.client.headers["x-api-key"] = keys["ann"]
        run_id = waiting(server)
        nobodys = call("approve", run_id, folder=tmp_path)
        bobs = call("approve", run_id, folder=tmp_path, api_key=keys["bob"])
        anns = call("approve", run_id, folder=tmp_path, api_key=keys["ann"])
        record = server.settled(run_id)
    assert (nobodys.returncode, bobs.returncode, anns.returncode) == (2, 2, 0)
    assert wording("terminal.server.key.none", url=server.url) in nobodys.stderr
    assert wording("problems.run-not-found.detail", run_id=run_id) in bobs.stderr
    assert [(mark["what"], mark["by"]) for mark in record["marks"]] == [("approved", "ann")]


def test_without_a_server_nothing_is_decided(tmp_path: Path) -> None:
    """One line says what would help; the run waits as before."""
    task = call("run", TASK, folder=tmp_path, approve="always")
    run_id = task.stdout.split()[1]
    done = call("approve", run_id, folder=tmp_path)
    with serving(tmp_path) as server:
        record = server.get(run_id)
    assert task.returncode == 3
    assert wording("terminal.waits", run_id=run_id) in task.stderr
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == wording("terminal.approve.no-run", run_id=run_id) + "\n"
    assert record["status"] == "waiting"


@pytest.mark.parametrize(
    ("given", "key"),
    [
        (["--url", "localhost:8000"], "approve.url"),
        ([], "approve.no-database"),
    ],
)
def test_where_no_run_can_be_it_says_so(tmp_path: Path, given: list[str], key: str) -> None:
    done = call("approve", "any", *given, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    said = wording(f"terminal.{key}").replace("<folder>", str(tmp_path))
    assert done.stderr == f"{said}\n"


def test_a_server_that_does_not_answer_may_have_heard(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    done = call("approve", "any", "--url", url, folder=tmp_path)
    assert done.returncode == 2
    unheard = wording("terminal.server.decision", run_id="any", url=url)
    assert done.stderr == f"runwright: {unheard}\n"
