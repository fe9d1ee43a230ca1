"""What a busy server logs: lines of the published form, that name their run, and tell no secret."""

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from graph.settings.configured import new_key
from tests.support.checkout import ROOT
from tests.support.models.capture_server import capturing
from tests.support.own_tools.mcp_files import mcp_file, rude
from tests.support.patience import wait_until
from tests.support.servers.server_process import ServerProcess, http_client, serving

SCHEMA = Draft202012Validator(json.loads((ROOT / "docs/doors/logs.schema.json").read_text()))

MARKER = "xylophone"

#: A server that is not there, with secrets where these may stand.
GONE = {"command": "/not-there", "args": ["--key", MARKER], "env": {"KEY": MARKER}}

TOOLS = ",".join(f"tests.support.own_tools.loud:{name}" for name in ("shout", "lose", "tell"))


def called(server: ServerProcess, key: str) -> httpx.Client:
    """A client of a caller that has a trace."""
    headers = {"x-api-key": key, "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
    return http_client(server.url, headers=headers)


def left(server: ServerProcess, key: str) -> str:
    """A run that is under way."""
    with called(server, key) as client:
        run_id = client.post("/runs", json={"prompt": "sleep 600 seconds"}).json()["run_id"]
        wait_until(lambda: client.get(f"/runs/{run_id}").json()["current"])
    return str(run_id)


def ended(server: ServerProcess, key: str, run_id: str) -> None:
    """End a run that another server has left, once it goes on."""
    with called(server, key) as client:
        wait_until(lambda: client.get(f"/runs/{run_id}").json()["marks"])
        client.post(f"/runs/{run_id}/cancel")
        client.get(f"/runs/{run_id}/wait", params={"timeout": 60})


def busy(server: ServerProcess, key: str) -> list[str]:
    """Do everything, with the marker in it; the runs."""
    with called(server, key) as client:

        def post(prompt: str, **more: Any) -> str:
            answer = client.post("/runs", json={"prompt": prompt, **more})
            assert answer.status_code == 201, answer.text
            run_id = str(answer.json()["run_id"])
            client.get(f"/runs/{run_id}/wait", params={"timeout": 60})
            return run_id

        begun = [
            post(f"{act} {MARKER}", metadata={"of": MARKER})
            for act in ("shout", "lose", "tell", "hum", "add todo")
        ]
        begun.append(post(f"tell {MARKER}", mode="plan"))
        client.post(f"/runs/{begun[-1]}/approve", json={})
        client.post(f"/runs/{begun[0]}/retry", json={})
        client.get(f"/runs/{begun[0]}/wait", params={"timeout": 60})
        client.get(f"/runs/{MARKER}")
        client.get(f"/{MARKER}", params={MARKER: MARKER})
        client.post("/runs", content=f'{{"prompt": "{MARKER}')
        client.get("/runs", headers={"x-api-key": MARKER})
        client.delete(f"/runs/{begun[4]}")
        waiting = post(f"tell {MARKER}", mode="plan")
        client.post(f"/runs/{waiting}/reject", json={"reason": MARKER})
        return [*begun, waiting]


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What two servers on one database have logged, of which the first was killed."""
    secret = f"whsec_{base64.b64encode(MARKER.encode() * 4).decode()}"
    monkeypatch.setenv("HOOK_SECRET", secret)
    monkeypatch.setenv("OPENAI_API_KEY", MARKER)
    monkeypatch.setenv("MCP_SECRET", MARKER)
    key, entry = new_key("alice")
    files = mcp_file(tmp_path, rude=rude(tmp_path), gone=GONE)
    lines: list[str] = []
    with capturing() as model:
        model.status, model.answer = 400, {"error": {"message": f"{MARKER} is not allowed"}}
        hook = f"{model.url}/{MARKER}?key={MARKER}"
        hooks = [{"url": hook, "secret_env": "HOOK_SECRET", "allow_private": True}]
        settings = {
            "log": "json",
            "tools": f"{TOOLS},examples.flaky:sleep",
            "api_keys": str(entry),
            "mcp": str(files),
            "webhooks": json.dumps(hooks),
            "backoff": "0.01",
        }
        with serving(tmp_path, **settings) as server:
            busy(server, key)
            wait_until(lambda: any("webhook failed" in line for line in server.lines))
            run_id = left(server, key)
            server.kill()
        lines += server.lines
        models = [{"model": "openai/m", "api_base": f"{model.url}/v1"}]
        with serving(tmp_path, models=json.dumps(models), **settings) as server:
            ended(server, key, run_id)
            busy(server, key)
            server.terminate()
        lines += server.lines
    return lines


def test_every_line_has_the_published_form_names_its_run_and_tells_no_secret(served):
    lines = [json.loads(line) for line in served]
    faults = [f"{error.message}: {line}" for line in lines for error in SCHEMA.iter_errors(line)]
    assert faults == []
    messages = {line["message"] for line in lines}
    expected = {"run accepted", "run completed", "run failed", "run retried", "attempt ok"}
    expected |= {"telling", "tool loud.shout broke", "tool loud.lose failed", "webhook failed"}
    assert expected - messages == set()
    assert {"model failed", "run taken up"} <= messages
    assert MARKER not in "\n".join(served)
    assert base64.b64encode(MARKER.encode()).decode()[:10] not in "\n".join(served)

    of_runs = [line for line in lines if "run_id" in line]
    assert {line["trace_id"] for line in of_runs} == {"a" * 32}
    about_runs = ("run ", "attempt ", "tool ", "telling", "model failed", "webhook ")
    assert all("run_id" in one for one in lines if one["message"].startswith(about_runs))


def test_a_line_of_another_form_is_none():
    line = {
        "time": "2026-11-29T12:00:00.000Z",
        "level": "info",
        "logger": "runwright.runs",
        "message": "run accepted",
    }
    assert SCHEMA.is_valid(line)
    for wrong in ({"prompt": "x"}, {"unknown": 1}, {"level": "loud"}, {"trace_id": "x"}):
        assert not SCHEMA.is_valid({**line, **wrong})
    assert SCHEMA.is_valid({**line, "level": "debug", "prompt": "x"})
    assert SCHEMA.is_valid({**line, "logger": "other", "unknown": 1})
