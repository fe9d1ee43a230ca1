"""What loading LiteLLM does to a process: nothing on standard output, nothing on the network."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkout import ROOT
from tests.support.patience import patience

WATCH = """
import asyncio, json, os, socket, sys

asked = []
connect, resolve = socket.socket.connect, socket.getaddrinfo

def watched_connect(self, address):
    asked.append(address)
    return connect(self, address)

def watched_resolve(host, *rest, **named):
    asked.append([host])
    return resolve(host, *rest, **named)

socket.socket.connect, socket.getaddrinfo = watched_connect, watched_resolve
"""

WARM = """
from graph.models.client import LiteLlmModel, close_clients
from nodes.planning.model import ModelFailure

async def call(name):
    model = LiteLlmModel(name, max_tokens=8, api_base="http://127.0.0.1:9")
    model.warm()
    before = list(asked)
    await model.max_cost([{"role": "user", "content": "x"}], timeout=600)
    try:
        await model.complete([{"role": "user", "content": "x"}], {"type": "object"}, timeout=600)
    except ModelFailure as failure:
        return [before, failure.error_class]

async def main():
    names = ("openai/gpt-5-mini", "anthropic/claude-sonnet-4-5", "ollama_chat/qwen2.5:3b")
    warmed = [await call(name) for name in names]
    await close_clients()
    return warmed

warmed = asyncio.run(main())
"""

WITHOUT = """
import api.app
from graph.compose import open_runs
from graph.settings import Settings

async def bare():
    async with open_runs(Settings(database_url="memory://")) as runs:
        run_id = (await runs.start("add 2 and 3"))["run_id"]
        return (await runs.wait(run_id, timeout=600, owner="default"))["status"]

async def keyless():
    settings = Settings(
        database_url="memory://",
        models=["openai/gpt-5-mini", {"model": "anthropic/x", "api_key_env": "NOT_SET"}],
        daily_budget_usd=1,
    )
    async with open_runs(settings) as runs:
        run_id = (await runs.start("sing me a song"))["run_id"]
        record = await runs.wait(run_id, timeout=600, owner="default")
    return [record["error"]["type"], [call["error_class"] for call in record["planning_log"]]]

warmed = [asyncio.run(bare()), asyncio.run(keyless())]
"""

TELL = """
clients = [name for name in ("litellm", "langchain_litellm", "openai") if name in sys.modules]
told = [warmed, asked, clients, os.environ.get("DOTENV_WAS_READ")]
print(json.dumps(told), file=sys.stderr)
"""


def run(script: str, folder: Path) -> tuple[str, list[Any]]:
    """Standard output and what the script tells; a `.env` file lies where LiteLLM looks."""
    (folder / ".env").write_text("DOTENV_WAS_READ=yes\n")
    process = subprocess.run(
        [sys.executable, "-c", WATCH + script + TELL],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=patience(),
        check=True,
    )
    return process.stdout, json.loads(process.stderr.splitlines()[-1])


@pytest.mark.slow
def test_without_a_model_or_its_key_nothing_of_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for a client that cannot be used, not even where a budget would ask it first."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    printed, ((status, keyless), asked, clients, _) = run(WITHOUT, tmp_path)

    assert status == "completed"
    assert keyless == ["planning_failed", ["no_api_key", "no_api_key", None]]
    assert printed == ""
    assert clients == []
    assert asked == []


@pytest.mark.slow
def test_loading_opens_no_connection_and_a_call_only_its_own(tmp_path: Path) -> None:
    printed, (warmed, asked, clients, dotenv) = run(WARM, tmp_path)

    assert clients
    assert [error_class for _, error_class in warmed] == ["unreachable"] * 3
    assert warmed[0][0] == []  # before the first call
    assert {tuple(where) for where in asked} <= {("127.0.0.1",), ("127.0.0.1", 9)}
    assert dotenv is None
    assert printed == ""
