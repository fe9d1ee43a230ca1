"""The models that the settings name, in the order in which they are asked."""

import json
from typing import Any

import pytest

from graph.models.ladder import make_ladder
from graph.settings import InvalidSettings, read_settings


@pytest.fixture(autouse=True)
def _without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNWRIGHT_MODELS", raising=False)
    monkeypatch.delenv("RUNWRIGHT_MODEL_COMPLEX", raising=False)


def test_without_models_there_is_no_roster() -> None:
    """Also where a model for complex tasks is named: it is one of several, or none."""
    assert make_ladder(read_settings()) is None
    assert make_ladder(read_settings(model_complex="openai/large")) is None


def test_models_are_asked_in_the_order_of_the_settings() -> None:
    ladder = make_ladder(
        read_settings(
            models=["openai/small", {"model": "ollama_chat/own", "api_base": "http://localhost"}],
            model_complex="openai/large",
            model_timeout=7,
            complexity_threshold=3,
            fallback="transient",
        )
    )

    assert ladder is not None
    assert ladder.queue(0.0) == ["openai/small", "ollama_chat/own"]
    assert ladder.queue(3.0) == ["openai/large", "openai/small", "ollama_chat/own"]
    assert (ladder.timeout, ladder.fallback) == (7.0, "transient")
    assert [model.name for model in ladder.models.values()] == [
        "openai/small",
        "ollama_chat/own",
        "openai/large",
    ]


def test_the_breaker_knows_every_model_from_the_start() -> None:
    """Health shows them before any was asked."""
    ladder = make_ladder(read_settings(models=["openai/a"], model_complex="openai/b"))

    assert ladder is not None
    assert {name: health["state"] for name, health in ladder.breaker.state().items()} == {
        "openai/a": "ok",
        "openai/b": "ok",
    }


@pytest.mark.parametrize(
    "models",
    [
        ["openai/a", "openai/b", "openai/a"],
        [
            {"model": "openai/a", "api_base": "http://one/v1"},
            {"model": "openai/a", "api_base": "http://two/v1"},
            "openai/b",
        ],
    ],
)
def test_a_model_that_is_named_twice_is_refused(models: list[Any]) -> None:
    """Record, prices and health go by the name, so one of the two would hide the other."""
    with pytest.raises(InvalidSettings) as refused:
        read_settings(models=models)

    assert refused.value.fields == ("models",)
    assert str(refused.value).count("openai/a (") == 1


@pytest.mark.parametrize("name", ["gpt-5", "openai/", "/gpt-5", "open ai/gpt", ""])
def test_a_model_without_its_provider_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it is named, with the same words."""
    monkeypatch.setenv("RUNWRIGHT_MODELS", json.dumps([name]))
    monkeypatch.setenv("RUNWRIGHT_MODEL_COMPLEX", name)
    with pytest.raises(InvalidSettings) as refused:
        read_settings()
    lines = str(refused.value).splitlines()

    assert [line.partition("=")[0] for line in lines] == [
        "RUNWRIGHT_MODELS",
        "RUNWRIGHT_MODEL_COMPLEX",
    ]
    for line in lines:
        assert f"={name}: " in line
