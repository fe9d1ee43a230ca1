"""Log lines: what they are about comes as fields, and nothing in them can forge another line."""

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from graph.telemetry.server import JsonFormatter, TextFormatter, configure_logging

MOMENT = 1_700_000_000.25


def record(message: str, *arguments: Any, error: bool = False, **fields: Any) -> logging.LogRecord:
    exc_info = sys.exc_info() if error else None
    made = logging.getLogger("runwright.steps").makeRecord(
        "runwright.steps", logging.INFO, "file.py", 1, message, arguments, exc_info, extra=fields
    )
    made.created = MOMENT
    return made


def text(*arguments: Any, **fields: Any) -> str:
    return TextFormatter().format(record(*arguments, **fields))


def parsed(*arguments: Any, **fields: Any) -> dict[str, Any]:
    line = JsonFormatter().format(record(*arguments, **fields))
    assert len(line.splitlines()) == 1
    return dict(json.loads(line))


def test_a_text_line_is_time_level_message_and_fields() -> None:
    line = text("attempt %s", "ok", run_id="r1", step=2, duration_ms=0.25, error=None)

    assert line == "2023-11-14T22:13:20.250Z info attempt ok run_id=r1 step=2 duration_ms=0.25"


def test_a_json_line_has_the_same_as_an_object() -> None:
    assert parsed("attempt %s", "ok", run_id="r1", step=2, error=None) == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "info",
        "logger": "runwright.steps",
        "message": "attempt ok",
        "run_id": "r1",
        "step": 2,
    }


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", "plain"),
        ("Grüße", "Grüße"),
        ("", '""'),
        ("two words", '"two words"'),
        (True, "true"),
        ({"a": [1]}, '"{\\"a\\": [1]}"'),
    ],
)
def test_a_value_is_one_word_of_a_text_line(value: Any, written: str) -> None:
    assert text("run", field=value).endswith(f" run field={written}")


FORGERIES = [
    "a\n2026-01-01T00:00:00.000Z info run completed",
    "a\r\nb",
    "a\x0bb\x0cc\x1cd\x85e",
    "a\u2028b\u2029c",
    "half \ud83d",
    "\x1b[31mred",
    "a\x7f\x9b2Jb",
    "a\tb\bc\u202ed",
]


@pytest.mark.parametrize("forged", FORGERIES, ids=ascii)
def test_no_value_and_no_message_can_make_a_line_of_its_own(forged: str) -> None:
    for line in (text("run", prompt=forged), text("failed: %s", forged)):
        assert line.isprintable()
    assert JsonFormatter().format(record("failed: %s", forged, prompt=forged)).isprintable()
    assert parsed("failed: %s", forged, prompt=forged)["prompt"] == forged


@pytest.mark.parametrize("forged", FORGERIES, ids=ascii)
def test_no_exception_can_pass_for_a_line_of_the_log(forged: str) -> None:
    try:
        raise ValueError(forged)
    except ValueError:
        line = text("broke", error=True)
        made = parsed("broke", error=True)
    first, *others = line.splitlines()

    assert first == "2023-11-14T22:13:20.250Z info broke"
    assert others[0] == "    Traceback (most recent call last):"
    assert not [other for other in others if other.startswith("20")]
    assert all(other.isprintable() for other in others)
    assert "ValueError" in made["exception"]


@pytest.fixture
def restored() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("runwright")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("form", ["text", "json"])
def test_lines_go_to_standard_error_in_the_configured_form_and_from_the_configured_level(
    form: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(form, "info")
    logging.getLogger("runwright.steps").debug("attempt data", extra={"output": "secret"})
    logging.getLogger("runwright.steps").info("attempt ok", extra={"step": 1})
    logging.getLogger("somebody.else").info("chatter")
    logging.getLogger("somebody.else").warning("trouble")
    out, err = capsys.readouterr()
    ours, theirs = err.splitlines()

    assert out == ""
    assert ours.startswith("{") == (form == "json")
    assert "attempt ok" in ours
    assert "trouble" in theirs


@pytest.mark.usefixtures("restored")
def test_prompts_and_outputs_are_told_at_debug(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("text", "debug")
    logging.getLogger("runwright.steps").debug("attempt data", extra={"output": "secret"})

    assert "attempt data output=secret" in capsys.readouterr().err
