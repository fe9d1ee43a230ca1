"""The three streams of a command, which may be closed, full or of another encoding."""

import io
import os
import sys
from contextlib import suppress
from typing import Any, TextIO

from api.cli.lines import line
from graph.settings.keys import without_secrets

#: Exit codes: as `sysexits.h` has it, the output cannot be written; as shells have it, nobody reads
#: it.
OUTPUT_LOST = 74
BROKEN_PIPE = 141

#: The longest task that is read from the standard input, in bytes; what runs take is less.
LONGEST_INPUT = 2**26

_STREAMS = 2  # the highest number of theirs


class NotText(Exception):
    """What was given cannot be read as text; the message says what."""


class OutputLost(Exception):
    """What a command has to tell cannot be written; the message says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the output cannot be written: {reason}")


def standard_input() -> str:
    """The task that is given there. Raises `NotText`."""
    if sys.stdin is None:
        raise NotText("the standard input is closed; it has no task")
    try:
        given = getattr(sys.stdin, "buffer", sys.stdin).read(LONGEST_INPUT + 1)
        text = given if isinstance(given, str) else given.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise NotText(
            f"the standard input is not text in UTF-8: byte {error.start + 1} is 0x{byte:02x}"
        ) from None
    except OSError as error:
        raise NotText(f"the standard input cannot be read: {error.strerror or error}") from None
    if len(given) > LONGEST_INPUT:
        raise NotText(f"the standard input has more than {LONGEST_INPUT:,} bytes")
    return text.rstrip("\r\n")


def say(text: str, out: TextIO | None = None, *, end: str = "\n") -> None:
    """Write lines to the standard output, or to `out`, at once.

    Raises `OutputLost`, but `BrokenPipeError` where nobody reads any more.
    """
    out = out or sys.stdout
    if out is None:
        raise OutputLost("the standard output is closed")
    try:
        out.write(f"{text}{end}")
        out.flush()
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        raise OutputLost(getattr(error, "strerror", None) or str(error)) from None


def complain(message: str) -> None:
    """Say what went wrong on the standard error, or nowhere; the exit code tells too."""
    if sys.stderr is None:
        return
    with suppress(OSError):  # the exit code tells
        for text in without_secrets(message).splitlines():
            print(line(f"runwright: {text}"), file=sys.stderr)  # noqa: T201 - the command line's


def prepare_streams() -> None:
    """Whatever is said can be written, and no file takes the place of a stream that is closed."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        while (taken := os.open(os.devnull, os.O_RDWR)) <= _STREAMS:
            pass
        os.close(taken)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with suppress(OSError):  # one that is inherited in the middle of a line
                stream.reconfigure(errors="backslashreplace")


def ended(code: int) -> int:
    """The exit code, once all is written: what Python could not write at its end would be lost."""
    for stream, failure in ((sys.stdout, OUTPUT_LOST), (sys.stderr, None)):
        try:
            if stream is not None:
                stream.flush()
        except BrokenPipeError:
            code = code or (BROKEN_PIPE if failure else code)
            _abandon(stream)
        except OSError as error:
            if failure and code == 0:
                complain(str(OutputLost(error.strerror or str(error))))
                code = failure
            _abandon(stream)
    return code


def _abandon(stream: Any) -> None:
    """Python would complain of it once more when it flushes at exit."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
