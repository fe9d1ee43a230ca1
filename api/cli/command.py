"""The `runwright` command: serve, run, watch, approve, reject, backup, doctor and key new."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from api.cli.doctor import examined
from api.cli.follow import Interrupted
from api.cli.lines import line
from api.cli.local_run import Detached, NotDecided, NotStarted, NotWatched
from api.cli.run import Act, decide, run_task, watch_run
from api.cli.serve import PortTaken, serve
from graph.settings import InvalidSettings, Settings, read_settings
from graph.settings.keys import InvalidKey, new_key
from graph.state.wording import counted
from graph.storage.open import sqlite_path
from graph.storage.sqlite.backup import BackupFailed, back_up
from graph.storage.sqlite.ownership import FileOwned
from graph.storage.storage import StorageError
from tools.registry import InvalidTool

# `runwright key new`: a key, told this once, and the line by which a server knows it.


class NotAName(Exception):
    """No key can be made for this name; the message says why."""


#: What keeps a command from beginning, besides a file that another process has.
BEFORE_IT_BEGAN = (
    BackupFailed,
    InvalidSettings,
    InvalidTool,
    NotAName,
    NotDecided,
    NotStarted,
    NotWatched,
    PortTaken,
    StorageError,
)

#: Exit codes: 0 done, 1 the run failed or was cancelled, 2 it could not begin, 3 its end was not
#: seen, and as shells have it, 130 interrupted, 141 nobody reads the output.
CANNOT_BEGIN = 2
DETACHED = 3
INTERRUPTED = 130
BROKEN_PIPE = 141


def run_command(arguments: list[str] | None) -> int:
    """Run the command line; the exit code. What cannot begin is told in one line."""
    options = _parser().parse_args(arguments)
    runner = asyncio.Runner(loop_factory=_loop_factory())
    code = _exit_code(options, runner)
    if not runner.run(_others_end()):
        # Closing the loop would wait for a tool that swallows its cancellation; all is stored.
        sys.stdout.flush()
        os._exit(code)
    runner.close()
    return code


def _exit_code(options: argparse.Namespace, runner: asyncio.Runner) -> int:
    try:
        return int(options.command(options, runner))
    except FileOwned as error:
        _complain(f"{error}; stop it first, or set RUNWRIGHT_DATABASE_URL to another file")
        return CANNOT_BEGIN
    except BEFORE_IT_BEGAN as error:
        _complain(str(error))
        return CANNOT_BEGIN
    except Detached as error:
        _complain(str(error))
        return DETACHED
    except Interrupted as error:
        _complain(str(error))
        return INTERRUPTED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Python would complain of it once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


async def _others_end() -> bool:
    """Whether what is left in the loop ends when it is told to."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    return not others or not (await asyncio.wait(others, timeout=1))[1]


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
    watch = commands.add_parser("watch", help="show a run from its beginning to its end")
    watch.add_argument("run_id", help="the run's id")
    watch.add_argument("--url", help="its server, unless it is the one that has the database")
    watch.add_argument("--json", action="store_true", help="print the settled record as JSON")
    watch.set_defaults(command=_watch)
    for act, does in (("approve", "execute the plan of a run"), ("reject", "end a run")):
        approval_answer = commands.add_parser(act, help=f"{does} that waits for a person")
        approval_answer.add_argument("run_id", help="the run's id")
        if act == "reject":
            approval_answer.add_argument("--reason", help="why; it is kept in the record")
        approval_answer.add_argument(
            "--url", help="its server, unless it is the one that has the database"
        )
        approval_answer.set_defaults(command=_decide, act=act, reason=None)
    backup = commands.add_parser("backup", help="copy the database, while it is served or not")
    backup.add_argument("file", metavar="FILE", help="the copy; a file that is not there yet")
    backup.set_defaults(command=_backup)
    doctor = commands.add_parser(
        "doctor", help="open what a start opens, and say what does not work"
    )
    doctor.add_argument("--json", action="store_true", help="print what was found as JSON")
    doctor.add_argument(
        "--call-models", action="store_true", help="ask each model for a few tokens, too"
    )
    doctor.set_defaults(command=_doctor)
    keys = commands.add_parser("key", help="make a key for a server's users")
    new = keys.add_subparsers(required=True, metavar="new").add_parser("new", help="print a key")
    new.add_argument("name", help="whose it is, as records will name the owner")
    new.set_defaults(command=_new_key)
    return parser


def _serve(options: argparse.Namespace, runner: asyncio.Runner) -> int:
    settings = _settings(host=options.host, port=options.port)
    runner.run(serve(settings))
    return 0


def _run(options: argparse.Namespace, runner: asyncio.Runner) -> int:
    return runner.run(run_task(_settings(), options.task, as_json=options.json))


def _watch(options: argparse.Namespace, runner: asyncio.Runner) -> int:
    watching = watch_run(_settings(), options.run_id, url=options.url, as_json=options.json)
    return runner.run(watching)


def _decide(options: argparse.Namespace, runner: asyncio.Runner) -> int:
    act: Act = options.act
    answering = decide(_settings(), options.run_id, act, reason=options.reason, url=options.url)
    print(line(runner.run(answering)))  # noqa: T201 - the command line's output
    return 0


def _backup(options: argparse.Namespace, _: asyncio.Runner) -> int:
    print(line(back_up_to(_settings(), options.file)))  # noqa: T201 - the command line's output
    return 0


def _doctor(options: argparse.Namespace, runner: asyncio.Runner) -> int:
    text, sound = runner.run(examined(call_models=options.call_models, as_json=options.json))
    print(text)  # noqa: T201 - the command line's output
    return 0 if sound else 1


def _new_key(options: argparse.Namespace, _: asyncio.Runner) -> int:
    sys.stdout.write(make_key(options.name))
    return 0


def _settings(**overrides: Any) -> Settings:
    return read_settings(**{name: value for name, value in overrides.items() if value is not None})


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":  # there is no uvloop for it
        return None
    import uvloop

    return uvloop.new_event_loop


def _complain(message: str) -> None:
    for text in message.splitlines():
        print(line(f"runwright: {text}"), file=sys.stderr)  # noqa: T201 - the command line's output


# `runwright backup`: a consistent copy of the database, while it is served or not.


def back_up_to(settings: Settings, file: str) -> str:
    """Copy the configured database; a line that tells what is in the copy.

    Raises `BackupFailed`, and `StorageError` for a URL that names no database.
    """
    if settings.database_url == "memory://":
        raise BackupFailed("memory:// has no file to copy; set RUNWRIGHT_DATABASE_URL to the one")
    copied = back_up(sqlite_path(settings.database_url), Path(file))
    return f"{file}: {counted(copied.runs, 'run', grouped=True)}, {copied.size:,} bytes"


def make_key(name: str) -> str:
    """The key and its setting, as lines of an environment file. Raises `NotAName`."""
    try:
        key, kept = new_key(name)
    except InvalidKey as error:
        raise NotAName(str(error)) from None
    return (
        f"# for {name}; it is shown only now\n"
        f"RUNWRIGHT_API_KEY={key}\n"
        "# for the server; entries that are there already stay, with a comma between\n"
        f"RUNWRIGHT_API_KEYS={kept}\n"
    )
