"""Runs of a real server that asks a mock of its models: how they are set up, scripted and read."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.servers.server_process import ServerProcess, serving

#: A model at a capture server, with a price of its own.
BACKUP = "openai/backup"
PRICES = json.dumps({BACKUP: {"input": 1, "output": 10}})


def plan_text(*steps: tuple[str, dict[str, Any]]) -> str:
    """A model's answer: steps by tool and input."""
    return json.dumps(
        {"steps": [{"reasoning": "asked", "tool": tool, "input": given} for tool, given in steps]}
    )


SUM = plan_text(("calculator", {"expression": "40 + 2"}))


def answer(text: str, **overrides: Any) -> dict[str, Any]:
    """A fixture of aimock that answers with a text, at 100 tokens in and 20 out."""
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    usage |= {"input_tokens": 100, "output_tokens": 20}
    return {"response": {"content": text, "usage": usage, **overrides}}


def fault(status: int, *, retry_after: int | None = None, **error: str) -> dict[str, Any]:
    """A fixture that answers with an HTTP error."""
    wait = {} if retry_after is None else {"retryAfter": retry_after}
    return {"response": {"status": status, "error": {"message": "no", **error}, **wait}}


def broken(**chaos: float) -> dict[str, Any]:
    """A fixture with one of aimock's faults around a good answer."""
    return {**answer(SUM), "chaos": chaos}


def models(*configured: tuple[str, str]) -> str:
    """`RUNWRIGHT_MODELS` for models by name and place."""
    return json.dumps([{"model": name, "api_base": base} for name, base in configured])


#: Deadlines of models beyond those of a test.
PATIENT = {"model_timeout": "600", "breaker_seconds": "3600", "answer": "never"}


@contextmanager
def serving_models(folder: Path, **settings: str) -> Iterator[ServerProcess]:
    """A server whose models' clients are loaded, and whose deadlines are beyond those of a test.

    A model that is closed off stays so until the end; none answers in words unless that is set.
    """
    with serving(folder, **PATIENT | settings) as server:
        yield loaded(server)


def run(server: ServerProcess, prompt: str, **budget: Any) -> dict[str, Any]:
    """The settled record of a prompt, with a budget where one is given."""
    body = {"prompt": prompt, **({"budget": budget} if budget else {})}
    response = server.client.post("/runs", json=body)
    assert response.status_code == 201, response.text
    return server.settled(
        response.json()["run_id"],
    )


def loaded(server: ServerProcess) -> ServerProcess:
    """The server, once the clients of its models are loaded."""
    server.logs(" models loaded ")
    return server


def health(server: ServerProcess) -> dict[str, Any]:
    """How its models do."""
    state: dict[str, Any] = server.client.get("/health").json()["models"]
    return state


def calls(record: dict[str, Any]) -> list[tuple[str | None, str, str | None]]:
    """Model, outcome and error class of each call of a planner."""
    return [
        (entry["model"], entry["outcome"], entry["error_class"]) for entry in record["planning_log"]
    ]


def memory_mb(server: ServerProcess) -> float:
    """Resident memory of the process."""
    [line] = [
        line
        for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    ]
    return int(line.split()[1]) / 1024
