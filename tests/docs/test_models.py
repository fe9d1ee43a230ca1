"""The page about models tells the truth: its settings, commands and tables are tried."""

import asyncio
import inspect
import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from graph.models import calls, client, connections
from graph.models.client import close_clients
from graph.models.ladder import make_ladder
from graph.settings import Settings, read_settings
from graph.state import Budget, PlanningCall
from nodes import plan
from nodes.planning import outcomes
from nodes.planning.model import NOT_READY, Completion, Fallback, Model
from nodes.planning.model_attempt import PlanningDeadline, most
from nodes.planning.outcomes import MAX_KEPT
from tests.support import pages
from tests.support.checkout import ROOT
from tests.support.models.capture_server import (
    CaptureServer,
    anthropic_answer,
    capturing,
    ollama_answer,
    openai_answer,
)
from tests.support.models.llm_calls import ANSWERS, MESSAGES, SCHEMA
from tests.support.models.llm_runs import plan_text, serving_models
from tests.support.patience import patience

PAGE = (ROOT / "docs" / "multi_provider_llm.md").read_text()
SETUPS = [
    block
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    if "RUNWRIGHT_MODELS" in block
]
EXAMPLES = [
    (command.replace("\\\n", " "), json.loads(printed))
    for command, printed in re.findall(
        r"```console\n\$ ((?:[^\n]*\\\n)*[^\n]*)\n(.*?)```", PAGE, re.DOTALL
    )
]
PLAN = plan_text(("todo_store.add", {"text": "buy milk"}), ("todo_store.list", {"status": None}))
UNFIT = plan_text(("weather", {"city": "Paris"}))


def column(first_heading: str) -> list[str]:
    """The names in the first column of a table."""
    [table] = re.findall(rf"(?m)^\| {re.escape(first_heading)} \|.*\n((?:\|.*\n)+)", PAGE)
    return re.findall(r"(?m)^\| `(\w+)`", table)


def environment_of(block: str) -> dict[str, str]:
    """What a block of commands exports before it starts the server."""
    stubs = "make() { env; }; ollama() { :; };"
    done = subprocess.run(
        ["bash", "-euc", stubs + block],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    exported = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    return {name: value for name, value in exported.items() if name.isupper() and "KEY" in name} | {
        name: value for name, value in exported.items() if name.startswith("RUNWRIGHT_")
    }


@pytest.mark.parametrize("block", SETUPS, ids=lambda block: block.split("RUNWRIGHT")[0][:30])
async def test_a_setup_reaches_its_models_with_its_keys(
    block: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All as the page says, but at a server of ours instead of the provider's."""
    exported = environment_of(block)
    for name, value in exported.items():
        monkeypatch.setenv(name, value)
    with capturing() as provider:
        settings = read_settings()
        ladder = make_ladder(at_server(settings, provider))
        assert ladder is not None
        for name, model in ladder.models.items():
            kind = name.partition("/")[0]
            provider.answer = next(given for one, given in ANSWERS.items() if one.startswith(kind))
            await asyncio.to_thread(model.warm)
            await model.complete(MESSAGES, SCHEMA, timeout=patience())
        await close_clients()
    keys = [str(request.headers) for request in provider.requests]
    assert len(keys) == len(settings.models)
    for configured, key in zip(settings.models, keys, strict=True):
        variable = configured.api_key_env or own_variable(configured.model)
        assert exported.get(variable, "none") in key


def at_server(settings: Settings, provider: CaptureServer) -> Settings:
    """The settings with every model at the server, whose key is the one that it would get."""
    moved = []
    for configured in settings.models:
        variable = own_variable(configured.model)
        base = f"{provider.url}/v1" if configured.model.startswith("openai/") else provider.url
        key = configured.api_key_env or (variable if variable in os.environ else None)
        moved.append(configured.model_copy(update={"api_base": base, "api_key_env": key}))
    return settings.model_copy(update={"models": tuple(moved)})


#: Where a provider's paths begin, for those that are not at the root.
PATHS = {
    "openai": "/v1",
    "mistral": "/v1",
    "groq": "/openai/v1",
    "xai": "/v1",
    "openrouter": "/api/v1",
    "together_ai": "/v1",
}

GEMINI = {
    "candidates": [
        {"content": {"role": "model", "parts": [{"text": PLAN}]}, "finishReason": "STOP"}
    ],
    "usageMetadata": {
        "promptTokenCount": 100,
        "candidatesTokenCount": 20,
        "totalTokenCount": 120,
        "cachedContentTokenCount": 64,
    },
}

#: Parameters that a provider calls otherwise.
SENT_AS = {("gemini", "reasoning_effort"): "thinking", ("azure", "api_version"): "api-version"}

WAYS = pages.rows(PAGE, "served by")


@pytest.mark.parametrize(("key", "entry"), [way[1:] for way in WAYS], ids=[way[0] for way in WAYS])
async def test_a_way_to_serve_a_model_is_asked_as_its_server_wants_it(
    key: str, entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request with the key where it belongs, the schema, and all of `params`."""
    variable = key.strip("`")
    if variable != "none":
        monkeypatch.setenv(variable, "canary-key-4711")
    monkeypatch.setenv("RUNWRIGHT_MODELS", f"[{entry.strip('`')}]")
    [configured] = read_settings().models
    provider = configured.model.partition("/")[0]
    with capturing() as server:
        server.answer = {
            "anthropic": anthropic_answer({"type": "text", "text": PLAN}),
            "gemini": GEMINI,
            "ollama_chat": ollama_answer(PLAN),
        }.get(provider, openai_answer(PLAN) | {"service_tier": "default"})  # Groq's client reads it
        key_env = configured.api_key_env or (None if variable == "none" else variable)
        there = {"api_base": server.url + PATHS.get(provider, ""), "api_key_env": key_env}
        moved = (configured.model_copy(update=there),)
        ladder = make_ladder(read_settings().model_copy(update={"models": moved}))
        assert ladder is not None
        completion = await asked(ladder.models[configured.model])
        [request] = server.requests
    sent = json.dumps(request.body)
    assert completion.text == PLAN
    assert (variable == "none") is ("canary-key-4711" not in str(request.headers))
    assert "canary-key-4711" not in sent + request.path
    assert '"steps"' in sent
    for name in parameters(configured.params):
        assert SENT_AS.get((provider, name), name) in sent + request.path


async def asked(model: Model) -> Completion:
    await asyncio.to_thread(model.warm)
    completion = await model.complete(MESSAGES, SCHEMA, timeout=patience())
    await close_clients()
    return completion


def parameters(params: dict[str, Any]) -> list[str]:
    """The names that are to be seen in a request."""
    return [*params.get("extra_body", {}), *(name for name in params if name != "extra_body")]


def own_variable(model: str) -> str:
    """Where a provider's own tools look for its key."""
    return f"{model.partition('/')[0].upper()}_API_KEY"


def test_the_commands_answer_as_printed(tmp_path: Path) -> None:
    """In their order, against a server whose first provider knows no key."""
    with capturing() as refusing, capturing() as planning:
        refusing.status, refusing.answer = 401, {"type": "error", "error": {"message": "no"}}
        models = [
            {"model": "anthropic/claude-sonnet-4-5", "api_base": refusing.url},
            {"model": "openai/gpt-5-mini", "api_base": f"{planning.url}/v1"},
        ]
        with serving_models(
            tmp_path, models=json.dumps(models), breaker_seconds="0", daily_budget_usd="1"
        ) as server:
            run_id = printed_id = ""
            for command, printed in EXAMPLES:
                planning.answer = openai_answer(UNFIT if "weather" in command else PLAN)
                command = command.replace("localhost:8000", server.url.removeprefix("http://"))
                answer = curl(command.replace(printed_id, run_id) if printed_id else command)
                if "run_id" in printed:
                    run_id, printed_id = answer["run_id"], printed["run_id"]
                    server.settled(run_id)
                else:
                    assert_contains(answer, printed)


def curl(command: str) -> Any:
    done = subprocess.run(shlex.split(command), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def assert_contains(whole: Any, part: Any, name: str = "") -> None:
    """A shortened value agrees with the whole one, moments aside."""
    if isinstance(part, dict):
        for key, value in part.items():
            assert_contains(whole[key], value, key)
    elif isinstance(part, list):
        assert len(whole) == len(part)
        for one, other in zip(whole, part, strict=True):
            assert_contains(one, other)
    elif name in ("until", "renewed_at") and part is not None:
        assert whole is not None
    elif isinstance(part, float):
        assert whole == pytest.approx(part)
    else:
        assert whole == part


def test_the_tables_name_all_there_is() -> None:
    """Outcomes, error classes, policies and the fields of a budget."""
    source = "".join(map(inspect.getsource, (connections, client, calls)))
    classes = set(re.findall(r'ModelFailure\("(\w+)"', source)) | set(
        re.findall(r'\d{3}: "(\w+)"', source)
    )
    classes |= {"bad_request", NOT_READY}
    assert set(column("`error_class`")) == classes
    assert set(column("`outcome`")) == set(get_args(get_type_hints(PlanningCall)["outcome"]))
    assert set(column("`RUNWRIGHT_FALLBACK`")) == set(get_args(Fallback))
    assert set(column("field")) == set(Budget.__annotations__)


def test_it_names_every_reason_to_skip_a_model() -> None:
    source = inspect.getsource(plan) + inspect.getsource(outcomes)
    reasons = set(re.findall(r'skipped(?:\(attempt, |", error_class=)"(\w+)"', source))
    [row] = re.findall(r"(?m)^\| `skipped` \|(.*)$", PAGE)
    assert len(reasons) == 5
    assert set(re.findall(r"`(\w+_\w+)`", row)) == reasons | {"on_exceeded"}


def test_what_it_says_of_the_time_of_models_that_hang_is_so() -> None:
    """Three of them, at the default."""
    longest = Settings().model_timeout
    taken: list[float] = []
    while not (left := PlanningDeadline(longest, most(longest) - sum(taken))).is_over:
        taken.append(left.deadline)
    text = " ".join(PAGE.split())
    assert len(taken) == 2
    assert (
        f"at the default of {longest:g} s, the first two are left after {longest:g} s each" in text
    )
    assert f"pattern planner answers after {sum(taken):g} s" in text


def test_what_it_says_of_the_size_of_a_rejected_plan_is_so() -> None:
    assert f"up to {MAX_KEPT // 1000} kB" in PAGE


def test_what_it_says_of_settings_and_targets_exists() -> None:
    named = set(re.findall(r"RUNWRIGHT_(\w+)", PAGE))
    assert {name.lower() for name in named} <= set(type(read_settings()).model_fields)
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"(?m)^make ([\w-]+)$", PAGE)) <= set(targets)
