"""What is posted of runs: signed, in order, again after a failure or a kill, and to nobody else."""

import base64
import hmac
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from graph.settings.configured import WebhookSettings
from graph.telemetry import webhooks
from tests.support.patience import wait_until
from tests.support.servers.server_process import ServerProcess, serving

SECRET = b"a secret that nobody knows of"
HIDDEN = f"whsec_{base64.b64encode(SECRET).decode()}"


@dataclass
class Hook:
    """An endpoint on loopback; it answers with `statuses`, one after the other, then 204.

    To what is told of failed runs it answers well, so that these can be used to wake a server.
    """

    url: str
    statuses: list[int] = field(default_factory=list)
    posted: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    elsewhere: str = "http://127.0.0.1:9/"

    @property
    def told(self) -> list[Any]:
        """What was posted, as JSON."""
        return [json.loads(body) for _, body in list(self.posted)]

    def types(self, run_id: str) -> list[str]:
        """What was posted of a run, in order."""
        return [one["type"] for one in self.told if one["data"]["run_id"] == run_id]


@contextmanager
def listening() -> Iterator[Hook]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            fails = json.loads(body)["type"] != "run.failed" and hook.statuses
            status = hook.statuses.pop(0) if fails else 204
            hook.posted.append(({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("location", hook.elsewhere)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        hook = Hook(f"http://127.0.0.1:{server.server_address[1]}/hook?of=us")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield hook
        finally:
            server.shutdown()


@pytest.fixture
def hook() -> Iterator[Hook]:
    with listening() as hook:
        yield hook


@pytest.fixture(autouse=True)
def _secret(monkeypatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", HIDDEN)


def hooked(hook: Hook, **fields: Any) -> str:
    """The setting for an endpoint."""
    one = {"url": hook.url, "secret_env": "HOOK_SECRET", "allow_private": True, **fields}
    return json.dumps([one])


def stored(server: ServerProcess, sql: str) -> list[Any]:
    with closing(sqlite3.connect(server.folder / "runs.db")) as connection:
        return connection.execute(sql).fetchall()


def assert_signed(headers: dict[str, str], body: bytes) -> None:
    named = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode()
    digest = hmac.new(SECRET, named + body, sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"


def test_ends_and_waits_are_posted_signed_and_in_order(tmp_path, hook):
    with serving(tmp_path, webhooks=hooked(hook), approve="always") as server:
        run_id = server.post("what is 61 times 7")
        wait_until(lambda: hook.types(run_id) == ["run.waiting"])
        server.client.post(f"/runs/{run_id}/approve", json={})
        server.settled(run_id)
        other = server.post("hello there")
        wait_until(lambda: hook.types(other) == ["run.failed"])
        wait_until(lambda: hook.types(run_id) == ["run.waiting", "run.completed"])
        wait_until(lambda: stored(server, "SELECT * FROM outbox") == [])
        assert "webhooks" not in server.get(run_id)

    for headers, body in hook.posted:
        assert_signed(headers, body)
        assert headers["content-type"] == "application/json"
        assert b"times 7" not in body
    assert len({headers["webhook-id"] for headers, _ in hook.posted}) == 3
    [end] = [one["data"] for one in hook.told if one["type"] == "run.completed"]
    assert end["summary"].startswith("1 step done")
    [failed] = [one["data"] for one in hook.told if one["data"]["run_id"] == other]
    assert failed["error"] == {"type": "not_understood"}
    assert not any(b"hello" in body for _, body in hook.posted)


def test_an_endpoint_is_told_what_it_asked_for(tmp_path, hook):
    with serving(tmp_path, webhooks=hooked(hook, events=["run.failed"])) as server:
        server.settled(server.post("what is 2 plus 3"))
        failed = server.post("hello there")
        wait_until(lambda: hook.types(failed) == ["run.failed"])

    assert len(hook.posted) == 1


def test_a_failure_stands_in_the_record_and_is_tried_again_under_the_same_id(
    tmp_path, hook, monkeypatch
):
    hook.statuses = [500, 302]
    with serving(tmp_path, webhooks=hooked(hook)) as server:
        run_id = server.post("what is 2 plus 3")
        told = server.until(run_id, lambda record: record.get("webhooks"))["webhooks"]
        assert told[0]["failure"] == "it answered 500"
        assert told[0]["url"] == hook.url.removesuffix("/hook?of=us")
        assert (told[0]["event"], told[0]["attempts"]) == ("run.completed", 1)
        assert not told[0]["given_up"]
        make_due(server)
        server.until(run_id, lambda record: record["webhooks"][0]["attempts"] == 2)
        assert server.get(run_id)["webhooks"][0]["failure"] == "it answered 302"
        make_due(server)
        server.until(run_id, lambda record: "webhooks" not in record)

    ids = [headers["webhook-id"] for headers, body in hook.posted if run_id.encode() in body]
    assert len(ids) == 3
    assert len({*ids}) == 1
    assert "of=us" not in "".join(server.lines)  # a path may be a secret


def make_due(server: ServerProcess) -> None:
    """Let what waits for a further attempt be due at once: its server looks when a run ends."""
    with closing(sqlite3.connect(server.folder / "runs.db", isolation_level=None)) as connection:
        connection.execute("UPDATE outbox SET due = 0")
    server.settled(server.post("hello there"))  # which asks nobody


def test_what_is_gone_is_given_up(tmp_path, hook):
    hook.statuses = [410]
    with serving(tmp_path, webhooks=hooked(hook)) as server:
        run_id = server.post("what is 2 plus 3")
        told = server.until(run_id, lambda record: record.get("webhooks"))["webhooks"]

    assert told[0]["given_up"]
    assert len(hook.posted) == 1


def test_of_a_run_the_later_waits_for_the_earlier(tmp_path, hook):
    hook.statuses = [500]
    with serving(tmp_path, webhooks=hooked(hook), approve="always") as server:
        run_id = server.post("what is 2 plus 3")
        server.until(run_id, lambda record: record.get("webhooks"))
        server.client.post(f"/runs/{run_id}/approve", json={})
        server.settled(run_id)
        assert hook.types(run_id) == ["run.waiting"]
        make_due(server)
        wait_until(lambda: len(hook.types(run_id)) == 3)

    assert hook.types(run_id) == ["run.waiting", "run.waiting", "run.completed"]


def test_after_kills_everything_is_posted(tmp_path, hook):
    begun = []
    for _ in range(4):
        with serving(tmp_path, webhooks=hooked(hook)) as server:
            begun += [server.post("what is 2 plus 3") for _ in range(5)]
            server.kill()
    with serving(tmp_path, webhooks=hooked(hook)) as server:
        wait_until(lambda: all("run.completed" in hook.types(run_id) for run_id in begun))
        wait_until(lambda: stored(server, "SELECT * FROM outbox") == [])

    ids = {headers["webhook-id"] for headers, _ in hook.posted}
    assert len(ids) == len(begun)


def test_without_endpoints_nothing_is_kept(tmp_path, hook):
    with serving(tmp_path, webhooks=hooked(hook)) as server:
        server.settled(server.post("what is 2 plus 3"))
        wait_until(lambda: hook.posted)
        wait_until(lambda: stored(server, "SELECT * FROM outbox") == [])
    with serving(tmp_path) as server:
        server.settled(server.post("what is 2 plus 3"))
        assert stored(server, "SELECT * FROM outbox") == []

    assert len(hook.posted) == 1


def test_a_private_address_is_not_asked_unless_that_is_allowed(tmp_path, hook):
    with serving(tmp_path, webhooks=hooked(hook, allow_private=False)) as server:
        run_id = server.post("what is 2 plus 3")
        told = server.until(run_id, lambda record: record.get("webhooks"))["webhooks"]

    assert "private" in told[0]["failure"]
    assert hook.posted == []


def test_a_deleted_run_is_told_no_more(tmp_path, hook):
    hook.statuses = [500]
    with serving(tmp_path, webhooks=hooked(hook)) as server:
        run_id = server.post("what is 2 plus 3")
        server.until(run_id, lambda record: record.get("webhooks"))
        assert server.client.delete(f"/runs/{run_id}").is_success
        assert stored(server, "SELECT * FROM outbox") == []


@pytest.mark.parametrize("secret", ["", "short", "whsec_c2hvcnQ=", "whsec_%%%"])
def test_a_secret_that_is_none_is_told_by_the_name_of_its_variable(secret):
    one = WebhookSettings(url="https://hooks.example/x", secret_env="HOOK_SECRET")
    with pytest.raises(webhooks.WebhookUnsigned, match="HOOK_SECRET") as told:
        webhooks.make_endpoints([one], {"HOOK_SECRET": secret})
    assert not secret or secret not in str(told.value)


def test_a_run_may_name_where_its_end_is_posted_at_a_host_that_is_known(tmp_path, hook):
    own = hook.url.replace("/hook?of=us", "/mine")
    other = hook.url.replace("/hook", ":1/hook").replace("127.0.0.1", "localhost")
    with serving(tmp_path, webhooks=hooked(hook, events=["run.failed"])) as server:
        task = {"prompt": "what is 2 plus 3"}
        for wrong in ("https://elsewhere.example/", other, "mine", "http://u:p@127.0.0.1/"):
            refused = server.client.post("/runs", json=task | {"webhook": wrong})
            assert refused.status_code == 400
            assert refused.json()["errors"][0]["field"] == "webhook"
        run_id = server.client.post("/runs", json=task | {"webhook": own}).json()["run_id"]
        wait_until(lambda: hook.types(run_id) == ["run.completed"])

    assert len(hook.posted) == 1
    assert_signed(*hook.posted[0])
