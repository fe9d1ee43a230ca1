"""The `runwright` command: `serve` and `run`."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from api.run_command import LostSight, NotStarted, run_task
from api.serve import PortTaken, serve
from graph.ownership import FileOwned
from graph.settings import InvalidSettings, Settings, read_settings
from graph.storage import StorageError
from tools.registry import InvalidTool

T = TypeVar("T")

#: Exit codes: 0 done, 1 the run failed, 2 it could not begin, 3 its end was not seen, and as
#: shells have it, 130 interrupted, 141 nobody reads the output.
CANNOT_BEGIN = 2
LOST_SIGHT = 3
INTERRUPTED = 130
BROKEN_PIPE = 141


def run_command(arguments: list[str] | None) -> int:
    """Run the command line; the exit code. What cannot begin is told in one line."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except FileOwned as error:
        _complain(f"{error}; stop it first, or set RUNWRIGHT_DATABASE_URL to another file")
        return CANNOT_BEGIN
    except (InvalidSettings, InvalidTool, NotStarted, PortTaken, StorageError) as error:
        _complain(str(error))
        return CANNOT_BEGIN
    except LostSight as error:
        _complain(str(error))
        return LOST_SIGHT
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Python would complain of it once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="runwright", description="Give it a task in plain words; it plans, runs and records."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    server = commands.add_parser("serve", help="start the HTTP server")
    server.add_argument("--host", help="address to listen on (RUNWRIGHT_HOST)")
    server.add_argument("--port", help="port to listen on, 0 for a free one (RUNWRIGHT_PORT)")
    server.set_defaults(command=_serve)
    task = commands.add_parser("run", help="run one task here, or on the server that has the file")
    task.add_argument("task", help="what is to be done, in plain words")
    task.add_argument("--json", action="store_true", help="print the whole record as JSON")
    task.set_defaults(command=_run)
    return parser


def _serve(options: argparse.Namespace) -> int:
    settings = _settings(host=options.host, port=options.port)
    _in_loop(serve(settings))
    return 0


def _run(options: argparse.Namespace) -> int:
    return _in_loop(run_task(_settings(), options.task, as_json=options.json))


def _settings(**overrides: Any) -> Settings:
    return read_settings(**{name: value for name, value in overrides.items() if value is not None})


def _in_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(coroutine)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":  # there is no uvloop for it
        return None
    import uvloop

    return uvloop.new_event_loop


def _complain(message: str) -> None:
    for line in message.splitlines():
        print(f"runwright: {line}", file=sys.stderr)  # noqa: T201 - the command line's output
