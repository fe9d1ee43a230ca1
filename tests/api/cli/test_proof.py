"""To whom a command sends its key: to the server that has the file, never to who answers there."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from graph.settings.configured import new_key
from graph.storage.sqlite.open import ServerAddress, own, read_owner
from tests.support.models.capture_server import CaptureServer, capturing
from tests.support.own_tools.gate_tool import GATE
from tests.support.patience import patience, wait_until
from tests.support.servers.commands.call import call
from tests.support.servers.commands.process import running
from tests.support.servers.server_process import ServerProcess, serving
from tests.support.wording.messages import wording

RUN_ID = "3649e764-182c-4e2a-baa5-565cd8d75ff6"
TASK = "calculate 40 + 2"
COMMANDS = (("run", TASK), ("watch", RUN_ID), ("approve", RUN_ID), ("reject", RUN_ID))

KEY, ENTRY = new_key("alice")


@pytest.fixture
def stranger() -> Iterator[CaptureServer]:
    """Who answers everything with success, where the note says that the server is."""
    with capturing() as server:
        server.answer = {"status": "ok", "run_id": RUN_ID}
        server.headers["X-Runwright-Proof"] = "0" * 64
        yield server


def check_nothing_is_told(server: CaptureServer) -> None:
    assert {request.path for request in server.requests} == {"/health/live"}
    sent = "".join(f"{request.headers}{request.text}" for request in server.requests)
    assert KEY not in sent
    assert TASK not in sent


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_who_does_not_prove_to_have_the_file_is_sent_nothing(
    tmp_path: Path, stranger: CaptureServer, command: Sequence[str]
) -> None:
    path = tmp_path / "runs.db"
    path.touch()
    with own(path, ServerAddress(stranger.url)):
        done = call(*command, folder=tmp_path, api_key=KEY)

    assert done.returncode == 2
    assert done.stdout == ""
    expected = wording("terminal.unproven", folder=tmp_path, url=stranger.url)
    assert done.stderr.splitlines() == [expected]
    check_nothing_is_told(stranger)


@pytest.mark.parametrize("rights", [0o600, 0o644])
def test_a_note_that_is_left_proves_nothing(
    tmp_path: Path, stranger: CaptureServer, rights: int
) -> None:
    """Of a server that was killed: what listens at its address today knows no secret."""
    path = tmp_path / "runs.db"
    with own(path, ServerAddress(stranger.url)):
        left = (tmp_path / "runs.db.owner").read_text()
    with own(path):
        (tmp_path / "runs.db.owner").write_text(left)
        (tmp_path / "runs.db.owner").chmod(rights)
        assert call("run", TASK, folder=tmp_path, api_key=KEY).returncode == 2
    check_nothing_is_told(stranger)


def test_a_server_proves_that_it_has_the_file_and_gets_the_key(tmp_path: Path) -> None:
    with serving(tmp_path, api_keys=str(ENTRY)) as server:
        done = call("run", TASK, folder=tmp_path, api_key=KEY)
        assert (done.returncode, done.stderr) == (0, "")
        check_live_proves_only_what_it_is_asked(server)


def check_live_proves_only_what_it_is_asked(server: ServerProcess) -> None:
    owner = read_owner(server.folder / "runs.db")
    nonce = "0" * 64
    asked = server.client.get("/health/live", headers={"x-runwright-nonce": nonce})
    assert owner is not None
    assert owner.proves(nonce, asked.headers["x-runwright-proof"])
    plain = server.client.get("/health/live")
    assert "x-runwright-proof" not in plain.headers
    assert asked.json() == plain.json() == {"status": "ok"}
    wrong = server.client.get("/health/live", headers={"x-runwright-nonce": "short"})
    assert wrong.status_code == 400


def test_who_takes_the_place_of_a_server_that_died_is_sent_nothing(tmp_path: Path) -> None:
    """A watcher asks again, which is when it would tell its key to whoever listens there now."""
    tools = "examples.flaky:sleep"
    with serving(tmp_path, tools=tools, api_keys=str(ENTRY)) as server:
        task = "sleep 600 seconds"
        with running(
            "run", task, folder=tmp_path, api_key=KEY, waits={"SERVER": patience()}
        ) as command:
            command.until("plan by")
            server.kill()
            command.until("does not answer; trying again")
            port = httpx.URL(server.url).port
            assert port is not None
            with capturing(port) as stranger:
                assert command.ended() == 2
    check_nothing_is_told(stranger)
    assert "does not prove" in command.complaints


def test_a_server_that_began_anew_is_watched_on(tmp_path: Path) -> None:
    settings = {"tools": GATE, "api_keys": str(ENTRY)}
    headers = {"x-api-key": KEY}
    with serving(tmp_path, **settings) as first:
        first.client.headers.update(headers)
        run_id = first.post("pass gate a")
        with running(
            "watch", run_id, folder=tmp_path, api_key=KEY, waits={"SERVER": patience()}
        ) as command:
            command.until("plan by")
            first.kill()
            command.until("does not answer; trying again")
            port = str(httpx.URL(first.url).port)
            with serving(tmp_path, port=port, **settings) as second:
                second.client.headers.update(headers)
                wait_until(lambda: second.get(run_id)["status"] == "running")
                second.open_gate("a")
                assert command.ended() == 0
