"""Log lines: one form for people, one for machines; what a line is about comes as fields."""

import json
import logging
import sys
from textwrap import indent
from traceback import format_tb
from typing import Any, Literal

from graph.queue.executor import CURRENT
from graph.record.generations import trace_id_of
from graph.runs.live import LiveRun
from graph.state.wording import printable, rfc3339, text_of

#: What every record has, and what says something of the line: no fields of what it is about.
_NO_FIELDS = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "quotes"}


class AboutRuns(logging.Filter):
    """Adds `run_id` and `trace_id` to every line that is logged while a run is executed.

    Also to those of its tools, models and threads; what a line says itself stays.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Called by the handler; always true."""
        job = CURRENT.get(None)
        if isinstance(job, LiveRun) and getattr(record, "run_id", job.run_id) == job.run_id:
            record.run_id = job.run_id
            if not hasattr(record, "trace_id"):
                seen = None if job.trace_id else job.seen
                record.trace_id = trace_id_of(seen) if seen else job.trace_id
        return True


class TextFormatter(logging.Formatter):
    """`2026-11-22T12:00:00.000Z info run completed run_id=…`."""

    def format(self, record: logging.LogRecord) -> str:
        words = [rfc3339(record.created), record.levelname.lower(), printable(record.getMessage())]
        words += [f"{name}={_value(value)}" for name, value in _fields(record).items()]
        line = " ".join(words)
        if record.exc_info:  # indented, so that no line of it can pass for one of the log
            trace = printable(_traceback(self, record), keep="\n")
            line += "\n" + indent(trace, "    ", lambda _: True)
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object a line, as `docs/doors/logs.schema.json` describes it."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = _traceback(self, record)
        return json.dumps(line, default=str).replace("\x7f", "\\u007f")


def configure_logging(form: Literal["text", "json"], level: str) -> None:
    """Send every log line of this process to standard error in one form."""
    # No line names them, and each would be looked up for every line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(AboutRuns())
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("runwright").setLevel(level.upper())


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """Without its words, unless debugged, where these may quote the input of a tool (`quotes`)."""
    assert isinstance(record.exc_info, tuple)
    kind, _, trace = record.exc_info
    debugged = logging.getLogger("runwright").isEnabledFor(logging.DEBUG)
    if kind is None or debugged or not getattr(record, "quotes", False):
        return formatter.formatException(record.exc_info)
    lines = ["Traceback (most recent call last):\n", *format_tb(trace), kind.__qualname__]
    return "".join(lines)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(record).items()
        if value is not None and name not in _NO_FIELDS
    }


def _value(value: Any) -> str:
    text = text_of(value)
    # A value with spaces or line ends is quoted, so that it can neither split nor forge a line.
    if text.isprintable() and " " not in text and text:
        return text
    return json.dumps(text).replace("\x7f", "\\u007f")  # which JSON leaves as it is
