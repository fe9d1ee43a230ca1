"""A client that others generate from the description posts, waits, cancels and searches."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from graph.settings.configured import new_key
from tests.support.own_tools.gate_tool import GATE
from tests.support.patience import patience
from tests.support.servers.server_process import serving

#: In an environment of its own; `make test-rest` makes it.
CLIENT = Path(sys.prefix) / "client" / "bin"

#: What a user writes on top of it: as types and functions, nothing by names in strings.
SCRIPT = """
import sys
from runwright_client import AuthenticatedClient, Client
from runwright_client.api.health import read_health
from runwright_client.api.live import create_run_and_wait, wait_for_run
from runwright_client.api.runs import cancel_run, create_run, list_runs, read_run, search_runs
from runwright_client.models import (
    Cancelled, Problem, RunAnswer, RunCreate, RunCreated, RunList, RunSearch
)

url, key = sys.argv[1:]
strictly = dict(base_url=url, raise_on_unexpected_status=True)
client = AuthenticatedClient(token=key, **strictly) if key else Client(**strictly)

created = create_run.sync(client=client, body=RunCreate(prompt="add todo milk"))
assert isinstance(created, RunCreated), created
waited = wait_for_run.sync(created.run_id, client=client, timeout=60)
assert isinstance(waited, RunAnswer), waited
assert waited.status.value == "completed", waited
assert [step.tool for step in waited.plan.steps] == ["todo_store.add"]
assert read_run.sync(created.run_id, client=client).execution_log[0].status.value == "ok"

posted = create_run_and_wait.sync(client=client, body=RunCreate(prompt="2 + 2"), timeout=60)
assert posted.result.output == 4, posted

hanging = create_run.sync(client=client, body=RunCreate(prompt="pass gate never"))
cancelled = cancel_run.sync(hanging.run_id, client=client)
assert isinstance(cancelled, Cancelled), cancelled
assert cancelled.status.value == "cancelled", cancelled

found = search_runs.sync(client=client, body=RunSearch(text="milk"))
assert isinstance(found, RunList), found
assert [run.run_id for run in found.runs] == [created.run_id]
listed = list_runs.sync(client=client, limit=2)
assert listed.total == 3 and len(listed.runs) == 2 and listed.next_cursor
refused = list_runs.sync(client=client, cursor="none")
assert isinstance(refused, Problem), refused
missing = read_run.sync("nobody", client=client)
assert missing.type_ == "urn:runwright:problem:run-not-found", missing
assert read_health.sync(client=client).status == "ok"
print("done")
"""


@pytest.mark.slow
@pytest.mark.timeout(patience(300))
@pytest.mark.parametrize("keys", [False, True], ids=["open", "keys"])
def test_a_generated_client_posts_waits_cancels_and_searches(tmp_path: Path, keys: bool) -> None:
    key, kept = new_key("me")
    environment = {**os.environ, "PATH": f"{CLIENT}:{os.environ['PATH']}"}  # it formats by ruff
    with serving(tmp_path, tools=GATE, **({"api_keys": str(kept)} if keys else {})) as server:
        document = tmp_path / "openapi.json"
        document.write_text(server.client.get("/openapi.json").text)
        generator = [str(CLIENT / "openapi-python-client"), "generate", "--fail-on-warning"]
        generated = subprocess.run(
            [*generator, "--path", str(document), "--output-path", str(tmp_path / "generated")],
            env=environment,
            capture_output=True,
            text=True,
            timeout=patience(120),
            check=False,
        )
        assert generated.returncode == 0, generated.stdout + generated.stderr
        used = subprocess.run(
            [str(CLIENT / "python"), "-W", "error", "-c", SCRIPT, server.url, key if keys else ""],
            env={**environment, "PYTHONPATH": str(tmp_path / "generated")},
            capture_output=True,
            text=True,
            timeout=patience(120),
            check=False,
        )
    assert (used.returncode, used.stdout) == (0, "done\n"), used.stderr
