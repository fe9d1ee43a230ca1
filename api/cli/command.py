"""The `runwright` command: what it takes, what it does then, and how it ends."""

import argparse
import asyncio
import os
import sys
from collections.abc import Coroutine
from importlib.metadata import version
from pathlib import Path
from typing import Any

from api.cli.follow import Detached, Interrupted, NotCancelled, NotDecided, NotStarted, NotWatched
from api.cli.reading import (
    add_audit,
    add_list,
    add_threads,
    audited,
    explained,
    listed,
    order_of,
    query_of,
    search_of,
    shown,
    threads,
)
from api.cli.replay import NotReplayed, add_replays
from api.cli.run import (
    Act,
    add_resolve,
    add_task,
    cancel_run,
    decide,
    resolve,
    retry_run,
    run_task,
    task_options,
    watch_run,
)
from api.cli.serve import PortTaken, add_processes, loop_factory, process_settings
from api.cli.text import (
    BROKEN_PIPE,
    OUTPUT_LOST,
    NotText,
    OutputLost,
    complain,
    ended,
    line,
    prepare_streams,
    say,
    standard_input,
)
from graph.commands.retry import RetryRequest
from graph.settings import InvalidSettings, Settings, read_settings
from graph.settings.configured import InvalidKey, new_key
from graph.state.wording import counted
from graph.storage.open import BackupFailed, back_up, is_postgres, migrate, move, sqlite_path
from graph.storage.records import DatabaseOwned
from graph.storage.storage import StorageError
from graph.telemetry.traces import TracesMissing
from graph.telemetry.webhooks import WebhookUnsigned
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
    NotCancelled,
    NotDecided,
    NotReplayed,
    NotStarted,
    NotText,
    NotWatched,
    PortTaken,
    StorageError,
    TracesMissing,
    WebhookUnsigned,
)

#: Exit codes: 0 done, 1 the run failed or was cancelled, 2 it could not begin, 3 its end was not
#: seen, as `sysexits.h` has it 74 the output cannot be written, and as shells have it, 130
#: interrupted, 141 nobody reads the output.
CANNOT_BEGIN = 2
DETACHED = 3
INTERRUPTED = 130


def run_command(arguments: list[str] | None) -> int:
    """Run the command line; the exit code. What cannot begin is told in one line."""
    prepare_streams()
    try:
        options = _parser().parse_args(arguments)
    except OutputLost as error:  # that of `--help` and `--version`
        complain(str(error))
        return ended(OUTPUT_LOST)
    except BrokenPipeError:
        return ended(BROKEN_PIPE)
    runner = asyncio.Runner(loop_factory=loop_factory())
    code = ended(_exit_code(options, runner))
    if not runner.run(_others_end()):
        # Closing the loop would wait for a tool that swallows its cancellation; all is stored.
        os._exit(code)
    runner.close()
    return code


def _exit_code(options: argparse.Namespace, runner: asyncio.Runner) -> int:
    try:
        _check_text(options)
        if sys.stdout is None and options.command is not _serve:
            raise OutputLost("the standard output is closed")
        return int(options.command(options, runner))
    except DatabaseOwned as error:
        complain(f"{error}; {error.advice}")
        return CANNOT_BEGIN
    except BEFORE_IT_BEGAN as error:
        complain(str(error))
        return CANNOT_BEGIN
    except Detached as error:
        complain(str(error))
        return DETACHED
    except OutputLost as error:
        complain(str(error))
        return OUTPUT_LOST
    except Interrupted as error:
        complain(str(error))
        return INTERRUPTED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return BROKEN_PIPE


def _check_text(options: argparse.Namespace) -> None:
    """Raises `NotText` for an argument whose bytes are no text; a file may have any name."""
    given = {name: value for name, value in vars(options).items() if name != "file"}
    for name, value in given.items():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, str) and part.encode(errors="replace").decode() != part:
                raise NotText(f"{name} is not text in UTF-8: {part!r}")


async def _others_end() -> bool:
    """Whether what is left in the loop ends when it is told to."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    return not others or not (await asyncio.wait(others, timeout=1))[1]


class _Parser(argparse.ArgumentParser):
    def _print_message(self, message: str, file: Any = None) -> None:
        """As argparse has it, which says nothing of what it could not write."""
        if file is not sys.stderr:
            say(message.rstrip("\n"))
        elif file is not None:
            super()._print_message(message, file)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="runwright", description="Give it a task in plain words; it plans, runs and records."
    )
    shown = f"runwright {version('runwright')}"
    parser.add_argument("--version", action="version", version=shown, help="print the version")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for process in add_processes(commands):
        process.set_defaults(command=_serve)
    task = commands.add_parser("run", help="run one task here, or on the server that has the file")
    add_task(task)
    task.set_defaults(command=_run)
    _add_commands_on_runs(commands)
    mcp = commands.add_parser("mcp", help="offer runs to an MCP client that has started this")
    mcp.set_defaults(command=_mcp)
    _add_places(mcp, as_json=None)
    backup = commands.add_parser("backup", help="copy the database, while it is served or not")
    backup.add_argument("file", metavar="FILE", help="the copy; a file that is not there yet")
    backup.set_defaults(command=_backup)
    migrate = commands.add_parser(
        "migrate", help="make the tables in Postgres, or bring them to this version"
    )
    migrate.add_argument(
        "--from", dest="source", metavar="URL", help="move the runs of this SQLite database there"
    )
    migrate.set_defaults(command=_migrate)
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


def _add_commands_on_runs(commands: Any) -> None:
    """Those that take `--url`."""
    several = add_list(commands)
    several.set_defaults(command=_list)
    _add_places(several, as_json="the page")
    conversations = add_threads(commands)
    conversations.set_defaults(command=_threads)
    _add_places(conversations, as_json="what is shown")
    for replay, as_json in add_replays(commands):
        replay.set_defaults(command=_replays)
        _add_places(replay, as_json=as_json)
    audit = add_audit(commands)
    audit.set_defaults(command=_audit)
    _add_places(audit, as_json="the page")
    for name, does, command, as_json in (
        ("show", "show what has happened in a run so far", _show, "the record"),
        ("explain", "say where the time of a run went, and why it failed", _explain, "it all"),
        ("watch", "show a run from its beginning to its end", _watch, "the settled record"),
        ("retry", "let a failed or cancelled run go on, and show it", _retry, "the settled record"),
        ("cancel", "cancel a run that has not ended", _cancel, None),
        ("approve", "execute the plan of a run that waits for a person", _decide, None),
        ("reject", "end a run that waits for a person", _decide, None),
    ):
        one = commands.add_parser(name, help=does)
        one.add_argument("run_id", help="the run's id")
        if name == "reject":
            one.add_argument("--reason", help="why; it is kept in the record")
        if name == "retry":
            one.add_argument("--from-step", type=int, metavar="N", help="begin with this step")
            one.add_argument("--replan", action="store_true", help="let a model plan anew")
        one.set_defaults(command=command, act=name, reason=None)
        _add_places(one, as_json=as_json)
    doubt = add_resolve(commands)
    doubt.set_defaults(command=_resolve)
    _add_places(doubt, as_json=None)


def _add_places(command: argparse.ArgumentParser, *, as_json: str | None) -> None:
    command.add_argument("--url", help="its server, unless it is the one that has the database")
    if as_json:
        command.add_argument("--json", action="store_true", help=f"print {as_json} as JSON")


def _serve(options: argparse.Namespace, runner: asyncio.Runner) -> int:
    runner.run(options.process(_settings(**process_settings(options))))
    return 0


def _run(options: argparse.Namespace, runner: asyncio.Runner) -> int:
    task = standard_input() if options.task == ["-"] else " ".join(options.task)
    given = task_options(options)
    thread, as_json = options.thread, options.json
    return runner.run(run_task(_settings(), task, given, thread=thread, as_json=as_json))


def _list(options: argparse.Namespace, runner: asyncio.Runner) -> int:
    places = {"thread": options.thread, "url": options.url, "as_json": options.json}
    return _say(runner, listed(_settings(), search_of(options), **places))


def _threads(options: argparse.Namespace, runner: asyncio.Runner) -> int:
    order, places = order_of(options), {"url": options.url, "as_json": options.json}
    return _say(runner, threads(_settings(), order, **places))


def _audit(options: argparse.Namespace, runner: asyncio.Runner) -> int:
    places = {"limit": options.limit, "url": options.url, "as_json": options.json}
    return _say(runner, audited(_settings(), query_of(options), **places))


def _show(options: argparse.Namespace, runner: asyncio.Runner) -> int:
    telling = shown(_settings(), options.run_id, url=options.url, as_json=options.json)
    return _say(runner, telling)


def _explain(options: argparse.Namespace, runner: asyncio.Runner) -> int:
    telling = explained(_settings(), options.run_id, url=options.url, as_json=options.json)
    return _say(runner, telling)


def _watch(options: argparse.Namespace, runner: asyncio.Runner) -> int:
    watching = watch_run(_settings(), options.run_id, url=options.url, as_json=options.json)
    return runner.run(watching)


def _retry(options: argparse.Namespace, runner: asyncio.Runner) -> int:
    request = RetryRequest(from_step=options.from_step, replan=options.replan)
    settings, url = _settings(), options.url
    retried = retry_run(settings, options.run_id, request, url=url, as_json=options.json)
    return runner.run(retried)


def _cancel(options: argparse.Namespace, runner: asyncio.Runner) -> int:
    return _say(runner, cancel_run(_settings(), options.run_id, url=options.url))


def _decide(options: argparse.Namespace, runner: asyncio.Runner) -> int:
    act: Act = options.act
    answering = decide(_settings(), options.run_id, act, reason=options.reason, url=options.url)
    return _say(runner, answering)


def _say(runner: asyncio.Runner, telling: Coroutine[Any, Any, str]) -> int:
    """Do it, and print what it tells, of which each line is printable."""
    say(runner.run(telling))
    return 0


def _replays(options: argparse.Namespace, runner: asyncio.Runner) -> int:
    output, code = runner.run(options.act(_settings(), options))
    say(output)
    return int(code)


def _resolve(options: argparse.Namespace, runner: asyncio.Runner) -> int:
    given = {"decided": options.decided, "output": options.output, "url": options.url}
    for text in runner.run(resolve(_settings(), options.run_id, **given)):
        say(line(text))
    return 0


def _backup(options: argparse.Namespace, _: asyncio.Runner) -> int:
    say(line(back_up_to(_settings(), options.file)))
    return 0


def _migrate(options: argparse.Namespace, runner: asyncio.Runner) -> int:
    settings = _settings()
    if options.source is not None:
        moved = runner.run(move(options.source, settings.database_url))
        runs, stored = counted(moved.runs, "run", grouped=True), f"{moved.stored:,} entries"
        say(line(f"{runs} with {moved.checkpoints:,} checkpoints and {stored} of the store moved"))
        return 0
    before, now = runner.run(migrate(settings.database_url))
    said = "already has" if before == now else "now has"
    say(line(f"the database {said} version {now} of the tables"))
    return 0


def _mcp(options: argparse.Namespace, runner: asyncio.Runner) -> int:
    from api.cli.mcp import serve_mcp  # which no other command needs

    return runner.run(serve_mcp(_settings(), url=options.url))


def _doctor(options: argparse.Namespace, runner: asyncio.Runner) -> int:
    from api.cli.doctor import examined  # with all that it looks at, which no other command loads

    text, sound = runner.run(examined(call_models=options.call_models, as_json=options.json))
    say(text)
    return 0 if sound else 1


def _new_key(options: argparse.Namespace, _: asyncio.Runner) -> int:
    say(make_key(options.name).rstrip("\n"))
    return 0


def _settings(**overrides: Any) -> Settings:
    return read_settings(**{name: value for name, value in overrides.items() if value is not None})


def back_up_to(settings: Settings, file: str) -> str:
    """Copy the configured database; a line that tells what is in the copy.

    Raises `BackupFailed`, and `StorageError` for a URL that names no database.
    """
    if settings.database_url == "memory://":
        raise BackupFailed("memory:// has no file to copy; set RUNWRIGHT_DATABASE_URL to the one")
    if is_postgres(settings.database_url):
        raise BackupFailed("a Postgres database is copied with pg_dump")
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
