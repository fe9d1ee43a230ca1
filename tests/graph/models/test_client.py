"""A model's client: loaded within the deadline of a call, and no trouble where it cannot be."""

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from graph.models import client
from graph.models.breaker import CircuitBreaker
from graph.models.client import LiteLlmModel, close_clients
from graph.models.ladder import make_ladder, warm
from graph.settings import Settings
from graph.storage.storage import Storage
from nodes.planning.model import NOT_READY, ModelFailure, ModelLadder
from tests.support.models.capture_server import CaptureServer, capturing
from tests.support.models.llm_calls import (
    ANSWERS,
    ANTHROPIC,
    MESSAGES,
    OPENAI,
    PLAN,
    SCHEMA,
    complete,
    model,
)
from tests.support.models.planning_runs import Planning
from tests.support.models.scripted_models import ScriptedModel, calculation
from tests.support.patience import patience, until


@pytest.fixture
def server() -> Iterator[CaptureServer]:
    with capturing() as started:
        yield started


@pytest.fixture(autouse=True)
async def _closed() -> AsyncIterator[None]:
    yield
    await close_clients()


@pytest.fixture
def _not_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The client's packages are not there, or broken."""
    for name in ("langchain_litellm", "litellm"):
        monkeypatch.setitem(sys.modules, name, None)
    client._library.cache_clear()
    yield
    monkeypatch.undo()
    client._library.cache_clear()


class Slow(LiteLlmModel):
    """Is loaded no sooner than it may be."""

    may_load = threading.Event()

    def _load(self) -> None:
        self.may_load.wait()
        super()._load()


class Broken(LiteLlmModel):
    """Whose client cannot be made, and whose error quotes a key."""

    def _make_client(self) -> Any:
        raise ValueError("the key sk-canary-4711 is odd")


async def test_loading_is_part_of_the_time_of_a_call(server: CaptureServer) -> None:
    """A call whose client is not loaded in time is not made, and is no timeout of the model's."""
    await complete_once(server)
    slow = Slow(OPENAI, max_tokens=800, api_base=f"{server.url}/v1")
    with pytest.raises(ModelFailure) as raised:
        await slow.complete(MESSAGES, SCHEMA, timeout=0.1)

    assert (raised.value.error_class, raised.value.transient) == (NOT_READY, True)
    assert len(server.requests) == 1
    slow.may_load.set()
    await until(lambda: slow._client)
    assert (await slow.complete(MESSAGES, SCHEMA, timeout=patience())).text == PLAN


async def complete_once(server: CaptureServer) -> None:
    """With a client of its own, so that the library is loaded."""
    server.answer = ANSWERS[OPENAI]
    await complete(server, OPENAI)


async def test_counting_the_worst_case_keeps_to_its_time(
    server: CaptureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have to load the library."""
    may_load = threading.Event()
    monkeypatch.setattr(client, "_library", may_load.wait)
    with pytest.raises(ModelFailure, match=NOT_READY):
        await model(server, OPENAI).max_cost(MESSAGES, timeout=0.1)
    may_load.set()


@pytest.mark.usefixtures("_not_installed")
async def test_a_client_that_is_not_installed_is_a_misconfiguration(
    server: CaptureServer, caplog: pytest.LogCaptureFixture
) -> None:
    one = model(server, OPENAI)
    for call in (
        one.complete(MESSAGES, SCHEMA, timeout=patience()),
        one.max_cost(MESSAGES, SCHEMA, timeout=patience()),
        asyncio.to_thread(one.warm),
    ):
        with pytest.raises(ModelFailure) as raised:
            await call
        assert raised.value.error_class == "client_unavailable"
        assert raised.value.misconfigured
        assert not raised.value.transient
    assert "model client cannot be loaded" in caplog.text
    assert "litellm" in vars(caplog.records[0])["error"]


async def test_whatever_breaks_the_client_is_told_without_its_words(
    server: CaptureServer, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ModelFailure) as raised:
        await Broken(ANTHROPIC, max_tokens=8).complete(MESSAGES, SCHEMA, timeout=patience())

    fault = raised.value
    assert fault.error_class == "client_unavailable"
    assert fault.__cause__ is None
    assert fault.__context__ is None
    assert [vars(line)["error"] for line in caplog.records] == ["ValueError"]


def roster_of(*models: LiteLlmModel) -> ModelLadder:
    named = {one.name: one for one in models}
    breaker = CircuitBreaker(named, threshold=3, pause=60.0)
    return ModelLadder(models=named, order=list(named), breaker=breaker)


async def test_one_broken_client_keeps_no_other_from_being_loaded(
    server: CaptureServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The health says from the start that a person is needed."""
    well = model(server, OPENAI)
    ladder = roster_of(Broken(ANTHROPIC, max_tokens=8), well)
    caplog.set_level(logging.INFO, logger="runwright.models")
    await warm(ladder)

    states = {name: health["state"] for name, health in ladder.breaker.state().items()}
    assert states == {ANTHROPIC: "misconfigured", OPENAI: "ok"}
    assert well._client is not None
    (line,) = [one for one in caplog.records if one.getMessage() == "models loaded"]
    assert (vars(line)["loaded"], vars(line)["configured"]) == (1, 2)
    assert "canary" not in "".join(str(vars(one)) for one in caplog.records)


@pytest.mark.usefixtures("_not_installed")
@pytest.mark.parametrize("budget", [{}, {"usd": 1.0}], ids=["call", "worst case"])
async def test_a_run_goes_on_with_what_there_is(storage: Storage, budget: dict[str, Any]) -> None:
    """Also where the budget asks first what a call may cost."""
    broken: Any = LiteLlmModel(OPENAI, max_tokens=8)
    backup = ScriptedModel("b/two", [calculation()])
    planned = await Planning(storage, broken, backup).run(**budget)

    assert planned.outcomes == [(OPENAI, "failed"), ("b/two", "planned")]
    assert planned.log[0]["error_class"] == "client_unavailable"


async def test_a_model_for_complex_tasks_is_the_configured_one(
    server: CaptureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its place and key, where it is one of the models."""
    monkeypatch.setenv("LARGE_KEY", "sk-large")
    server.answer = ANSWERS[OPENAI]
    large = {"model": OPENAI, "api_base": f"{server.url}/v1", "api_key_env": "LARGE_KEY"}
    settings = Settings(models=["openai/small", large], model_complex=OPENAI)  # type: ignore[list-item,arg-type]
    ladder = make_ladder(settings)
    assert ladder is not None
    assert ladder.queue(99.0) == [OPENAI, "openai/small"]
    one = ladder.models[OPENAI]
    await asyncio.to_thread(one.warm)
    await one.complete(MESSAGES, SCHEMA, timeout=patience())

    (request,) = server.requests
    assert request.headers["authorization"] == "Bearer sk-large"
