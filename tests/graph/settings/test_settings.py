"""Settings: read once from the environment, documented, and refused when they make no sense."""

import json
import re
from typing import Any

import pytest
from pydantic import ValidationError

from graph.settings import PREFIX, InvalidSettings, Settings, read_settings
from graph.state import DEFAULT_LIMITS
from tests.support.wording.graph.settings import VALUES
from tests.support.wording.messages import wording


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting comes from whoever runs the tests."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"{PREFIX}{name.upper()}", raising=False)


def test_without_any_variable_everything_has_its_default() -> None:
    settings = read_settings()

    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.database_url == "sqlite:///runwright.db"
    assert (settings.tools, settings.log, settings.max_executing) == ((), "text", 24)


def test_the_limits_of_a_server_are_those_of_a_notebook_unless_set() -> None:
    assert read_settings().limits == DEFAULT_LIMITS
    assert read_settings(max_attempts=7).limits == {**DEFAULT_LIMITS, "max_attempts": 7}


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("PORT", "9000", 9000),
        ("STEP_TIMEOUT", "2.5", 2.5),
        ("BACKOFF", "0", 0.0),
        ("RETENTION", "7.5", 7.5),
        ("RETENTION", "none", 0.0),
        ("LOG", "json", "json"),
        ("TOOLS", "a.b:c", ("a.b:c",)),
        ("TOOLS", " a:b, c:d ,", ("a:b", "c:d")),
        ("TOOLS", "", ()),
        ("ALLOWED_HOSTS", "one.example,two.example", ("one.example", "two.example")),
        ("ALLOWED_HOSTS", "*,[::1],10.0.0.1", ("*", "[::1]", "10.0.0.1")),
        ("DATABASE_URL", "memory://", "memory://"),
    ],
)
def test_a_variable_sets_a_field(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, read: Any
) -> None:
    monkeypatch.setenv(f"RUNWRIGHT_{name}", value)

    assert getattr(read_settings(), name.lower()) == read


def test_what_the_command_line_says_comes_before_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RUNWRIGHT_PORT", "9000")
    monkeypatch.setenv("RUNWRIGHT_HOST", "0.0.0.0")
    settings = read_settings(port=9001)

    assert (settings.port, settings.host) == (9001, "0.0.0.0")


@pytest.mark.parametrize(("name", "value"), VALUES.values(), ids=VALUES)
def test_an_invalid_value_is_told_with_its_name_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"RUNWRIGHT_{name}", value)
    with pytest.raises(InvalidSettings) as error:
        read_settings()
    (line,) = str(error.value).splitlines()
    description = Settings.model_fields[name.lower()].description

    assert error.value.fields == (name.lower(),)
    assert line.startswith(f"RUNWRIGHT_{name}={value}: ")
    assert line.endswith(f"({description})")


def test_a_name_in_small_letters_is_told_with_its_value_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("runwright_port", "http")

    with pytest.raises(InvalidSettings, match="RUNWRIGHT_PORT=http"):
        read_settings()


def test_every_invalid_value_has_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWRIGHT_PORT", "http")
    monkeypatch.setenv("RUNWRIGHT_LOG", "xml")
    with pytest.raises(InvalidSettings) as error:
        read_settings()

    assert [line.split("=")[0] for line in str(error.value).splitlines()] == [
        "RUNWRIGHT_PORT",
        "RUNWRIGHT_LOG",
    ]


def test_an_invalid_value_of_the_command_line_is_told_as_its_option() -> None:
    with pytest.raises(InvalidSettings, match=r"^--port=70000: "):
        read_settings(port=70_000)
    with pytest.raises(InvalidSettings, match=r"^--max-steps=0: "):
        read_settings(max_steps=0)
    with pytest.raises(InvalidSettings) as error:
        read_settings(prot=1)
    assert str(error.value) == wording("settings.unknown", name="prot")


def test_settings_never_change() -> None:
    settings = read_settings()

    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented_with_its_unit(name: str) -> None:
    field = Settings.model_fields[name]
    assert field.description

    if name in ("step_timeout", "backoff", "grace"):
        assert re.search(r", s\b", field.description)
    if name in ("max_body", "max_output"):
        assert field.description.endswith(", bytes")


@pytest.mark.parametrize("name", ["MODELS", "MODEL_PRICES"])
def test_what_should_be_json_and_is_not_is_told_like_any_other(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """With the wrong ones beside it."""
    monkeypatch.setenv(f"RUNWRIGHT_{name}", "openai/gpt-5-mini")
    monkeypatch.setenv("RUNWRIGHT_PORT", "http")
    with pytest.raises(InvalidSettings) as error:
        read_settings()

    assert f"RUNWRIGHT_{name}=…: " in str(error.value)
    assert error.value.fields == ("port", name.lower())


@pytest.mark.parametrize("end", ["}]", "}"])
def test_a_key_where_none_belongs_is_not_told(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """Only that there is such a field, or that it is no JSON."""
    monkeypatch.setenv("RUNWRIGHT_MODELS", '[{"model": "openai/x", "api_key": "sk-1"' + end)
    with pytest.raises(InvalidSettings, match=r"^RUNWRIGHT_MODELS=…: ") as error:
        read_settings()

    assert "sk-1" not in str(error.value)
    assert ("'api_key'" in str(error.value)) is (end == "}]")


def test_a_misspelt_name_stops_the_start_with_the_right_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RUNWRIGHT_APIKEYS", "alice:secret")
    monkeypatch.setenv("RUNWRIGHT_PORT", "http")
    with pytest.raises(InvalidSettings) as error:
        read_settings()
    misspelt, wrong = str(error.value).splitlines()
    assert misspelt.startswith("RUNWRIGHT_APIKEYS is set")
    assert misspelt.endswith("RUNWRIGHT_API_KEYS?")
    assert "secret" not in misspelt
    assert wrong.startswith("RUNWRIGHT_PORT=http: ")


def test_the_variable_of_a_models_key_may_have_any_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWRIGHT_MY_KEY", "secret")
    model = {"model": "openai/x", "api_key_env": "RUNWRIGHT_MY_KEY"}
    monkeypatch.setenv("RUNWRIGHT_MODELS", json.dumps([model]))
    assert read_settings().models[0].api_key_env == "RUNWRIGHT_MY_KEY"


@pytest.mark.parametrize("value", ["", " ", ",", " , "])
def test_keys_that_are_set_to_nothing_stop_the_start(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("RUNWRIGHT_API_KEYS", value)
    with pytest.raises(InvalidSettings, match="RUNWRIGHT_API_KEYS=…: "):
        read_settings()


def test_exceptions_of_tools_are_told_to_callers_without_keys_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Unless it is said which."""
    assert read_settings().tool_errors_told == "text"
    monkeypatch.setenv("RUNWRIGHT_API_KEYS", f"ann:{'0' * 64}")
    assert read_settings().tool_errors_told == "type"
    monkeypatch.setenv("RUNWRIGHT_TOOL_ERRORS", "text")
    assert read_settings().tool_errors_told == "text"
