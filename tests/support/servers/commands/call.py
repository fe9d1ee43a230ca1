"""`runwright` called in the process of the tests, which has loaded all that it takes.

For what a command does and says. That it starts, and how it ends as a process, is shown by those
that `runwright` of `server_process` runs.
"""

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest.mock import patch

from api.__main__ import main
from api.cli import command
from tests.support.servers.server_process import environment

# What reads the command line is always the same, and making it is a third of what a call takes.
_parser = cache(command._parser)


@dataclass
class Called:
    """How a command ended, and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


def call(*arguments: str, folder: Path, **settings: str) -> Called:
    """Call the command with the environment that a process of its own would have."""
    output, complaints = io.StringIO(), io.StringIO()
    with (
        patch.dict(os.environ, environment(folder, **settings), clear=True),
        patch.object(command, "_parser", _parser),
        redirect_stdout(output),
        redirect_stderr(complaints),
        logging_kept(),
    ):
        try:
            code = main(list(arguments))
        except SystemExit as ended:  # as after `--help`
            code = int(ended.code or 0)
    return Called(code, output.getvalue(), complaints.getvalue())


@contextmanager
def logging_kept() -> Iterator[None]:
    """The command's logging ends with it."""
    root, own = logging.getLogger(), logging.getLogger("runwright")
    handlers, levels = root.handlers[:], (root.level, own.level)
    root.handlers.clear()  # it would close those of pytest
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(levels[0])
        own.setLevel(levels[1])
