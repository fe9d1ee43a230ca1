"""The models that the settings name, in the order in which they are asked."""

import pytest

from graph.roster import make_roster
from graph.settings import read_settings


@pytest.fixture(autouse=True)
def _without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNWRIGHT_MODELS", raising=False)
    monkeypatch.delenv("RUNWRIGHT_MODEL_COMPLEX", raising=False)


def test_without_models_there_is_no_roster() -> None:
    """Also where a model for complex tasks is named: it is one of several, or none."""
    assert make_roster(read_settings()) is None
    assert make_roster(read_settings(model_complex="openai/large")) is None


def test_models_are_asked_in_the_order_of_the_settings() -> None:
    roster = make_roster(
        read_settings(
            models=["openai/small", {"model": "ollama_chat/own", "api_base": "http://localhost"}],
            model_complex="openai/large",
            model_timeout=7,
            complexity_threshold=3,
            fallback="transient",
        )
    )

    assert roster is not None
    assert roster.queue(0.0) == ["openai/small", "ollama_chat/own"]
    assert roster.queue(3.0) == ["openai/large", "openai/small", "ollama_chat/own"]
    assert (roster.timeout, roster.fallback) == (7.0, "transient")
    assert [model.name for model in roster.models.values()] == [
        "openai/small",
        "ollama_chat/own",
        "openai/large",
    ]


def test_a_model_that_is_named_twice_is_asked_once() -> None:
    roster = make_roster(read_settings(models=["openai/a", "openai/b", "openai/a"]))

    assert roster is not None
    assert roster.queue(0.0) == ["openai/a", "openai/b"]


def test_the_breaker_knows_every_model_from_the_start() -> None:
    """Health shows them before any was asked."""
    roster = make_roster(read_settings(models=["openai/a"], model_complex="openai/b"))

    assert roster is not None
    assert {name: health["state"] for name, health in roster.breaker.state().items()} == {
        "openai/a": "ok",
        "openai/b": "ok",
    }
