"""`runwright export`, `replay` and `diff`: runs as files, run again, and compared with one another.

A folder of files is a suite of regression tests: what differs from what was recorded ends it in 1.
"""

import argparse
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast, get_args
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from api.cli.follow import quiet_logging
from api.cli.reading import found_page, found_thread
from api.cli.run import add_metadata, metadata_of, reached, told_in_a_line
from api.cli.server_run import ask_of_run, send
from api.cli.text import line, pretty
from graph.compose import make_replayer
from graph.record.diff import Difference, What, differences, in_words
from graph.runs.history import FORMAT, RunReplay, compared
from graph.runs.replay import LiveRejected, Replayer
from graph.service import Runs
from graph.settings import Settings
from graph.state import RunState
from graph.state.status import SETTLED_OR_WAITING, STATUSES
from graph.state.wording import counted, printable
from graph.storage.search import Search

#: Runs of one page while they are looked for.
PAGE = 200

#: Does what was asked; what it tells, and the exit code.
Act = Callable[[Settings, argparse.Namespace], Awaitable[tuple[str, int]]]


class NotReplayed(Exception):
    """What was named is no run that could be replayed or compared; the message says why."""


def add_replays(commands: Any) -> Iterator[tuple[argparse.ArgumentParser, str | None]]:
    """The command lines, each with what it tells as JSON, if it can."""
    export = commands.add_parser("export", help="write runs to files, to be kept and replayed")
    export.add_argument("run_ids", nargs="*", metavar="RUN_ID", help="these; else all found")
    export.add_argument("--status", action="append", choices=STATUSES, default=[])
    export.add_argument("--text", help="only those with these words in the prompt")
    export.add_argument("--thread", help="only those of this thread, by name or id")
    add_metadata(export, "only those that have it")
    export.add_argument("--limit", type=int, metavar="N", help="at most so many, the newest")
    export.add_argument("--to", default=".", metavar="DIR", help="the folder of the files")
    export.set_defaults(act=export_runs)
    yield export, None
    again = commands.add_parser(
        "replay", help="run recorded runs again, as recorded, and say what differs"
    )
    again.add_argument("runs", nargs="+", metavar="RUN", help="a file, a folder of files, or an id")
    again.add_argument(
        "--live", action="append", default=[], metavar="TOOL", help="call this tool; once or more"
    )
    again.add_argument(
        "--ignore",
        action="append",
        default=[],
        choices=get_args(What),
        help="what is no difference; once or more",
    )
    again.add_argument("--junit", metavar="FILE", help="write what was found as JUnit XML, too")
    again.set_defaults(act=replay_runs)
    yield again, "what was found"
    diff = commands.add_parser("diff", help="say what two runs do not have in common")
    diff.add_argument("first", metavar="RUN", help="a file, or an id")
    diff.add_argument("second", metavar="RUN", help="another one")
    diff.set_defaults(act=diff_runs)
    yield diff, "what differs"


# `runwright export`.


async def export_runs(settings: Settings, options: argparse.Namespace) -> tuple[str, int]:
    """Write runs to files, one each; the names of these.

    Raises what `open_runs` raises, `NotReplayed`, and `NotWatched`.
    """
    quiet_logging(settings)
    async with reached(settings, options.url) as there:
        run_ids = options.run_ids or await _found(there, settings, options)
        written = [_write(await _exported(there, run_id), options.to) for run_id in run_ids]
    return "\n".join(map(line, written)) or "no runs", 0


def _write(exported: Any, folder: str) -> str:
    """The name of the file of a run, which is written. Raises `NotReplayed`."""
    file = Path(folder) / f"{exported['run']['run_id']}.json"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(exported, ensure_ascii=False, indent=1) + "\n", "utf-8")
    except OSError as error:
        raise NotReplayed(f"{file}: {error.strerror or error}") from None
    return str(file)


async def _found(there: Any, settings: Settings, options: argparse.Namespace) -> list[str]:
    """The ids of the runs that match, the newest first."""
    search = Search(
        statuses=tuple(sorted(set(options.status))),
        text=options.text,
        metadata=tuple(sorted(metadata_of(options).items())),
        limit=PAGE,
    )
    if options.thread is not None:
        thread = await found_thread(there, settings, options.thread)
        search = replace(search, thread_id=thread["thread_id"])
    run_ids: list[str] = []
    cursor: str | None = None
    while True:
        page = await found_page(there, settings, search, cursor)
        run_ids += [run["run_id"] for run in page["runs"]]
        cursor = page["next_cursor"]
        if cursor is None or (options.limit is not None and len(run_ids) >= options.limit):
            return run_ids[: options.limit]


async def _exported(there: Any, run_id: str) -> Any:
    if isinstance(there, Runs):
        with told_in_a_line():
            return await there.replays.export(run_id, owner=None)
    return await ask_of_run(there, run_id, "/export")


# `runwright replay`.


@dataclass(frozen=True)
class Replayed:
    """What came of one run: the comparison, or why there is none."""

    name: str
    prompt: str
    found: RunReplay | None
    fault: str | None = None

    @property
    def same(self) -> bool:
        """Whether it was replayed, and nothing differs."""
        return self.found is not None and self.found["same"]

    @property
    def lines(self) -> list[str]:
        """What differs, in words."""
        if self.found is None:
            return [str(self.fault)]
        return [in_words(one) for one in self.found["differences"]]


async def replay_runs(settings: Settings, options: argparse.Namespace) -> tuple[str, int]:
    """Replay each run, all of a folder also after one that differs; 1 if one did, else 0.

    Those that are named by their ids are replayed by the server that has them, if one has, and all
    others here, where no server is needed. Raises what `open_runs` raises, `NotReplayed`, and
    `NotWatched`.
    """
    quiet_logging(settings)
    replayer = make_replayer(settings)
    results = [
        one for named in options.runs async for one in _replayed(settings, options, replayer, named)
    ]
    if options.junit:
        _write_junit(Path(options.junit), results)
    differ = sum(not one.same for one in results)
    if options.json:
        shown = [{"name": one.name, "fault": one.fault, "replay": one.found} for one in results]
        return pretty(shown), int(differ > 0)
    lines = [text for one in results for text in _lines_of(one)]
    total = f"{counted(len(results), 'run')} replayed"
    lines.append(f"{total}, {counted(differ, 'differs', 'differ')}" if differ else f"{total}: same")
    return "\n".join(map(line, lines)), int(differ > 0)


async def _replayed(
    settings: Settings, options: argparse.Namespace, replayer: Replayer, named: str
) -> Any:
    for file in _files(named):
        yield await _of_file(file, options, replayer)
    if Path(named).exists():  # noqa: ASYNC240 - no other task runs
        return
    async with reached(settings, options.url) as there:
        if not isinstance(there, Runs):
            yield await _at_server(there, named, options)
            return
        state = read_export(await _exported(there, named), named)
    yield Replayed(named, state["prompt"], await _compared(replayer, state, options))


def _files(named: str) -> list[Path]:
    """The files of that name, or in that folder. Raises `NotReplayed` where that has none."""
    path = Path(named)
    if not path.is_dir():
        return [path] if path.exists() else []
    if not (files := sorted(path.glob("*.json"))):
        raise NotReplayed(f"{named}: no file in it ends in .json")
    return files


async def _at_server(there: Any, run_id: str, options: argparse.Namespace) -> Replayed:
    path, body = f"/runs/{quote(run_id, safe='')}/replay", {"live": options.live}
    hint = "nothing was changed"
    answer = await send(there, "POST", path, body, hint=hint, failure=NotReplayed)
    found: RunReplay = answer.json()
    left = [one for one in found["differences"] if one["what"] not in options.ignore]
    return Replayed(run_id, "", {**found, "differences": left, "same": not left})


async def _of_file(file: Path, options: argparse.Namespace, replayer: Replayer) -> Replayed:
    try:
        state = _read_file(file)
    except NotReplayed as error:
        return Replayed(str(file), "", None, str(error))
    try:
        return Replayed(str(file), state["prompt"], await _compared(replayer, state, options))
    except NotReplayed:
        raise
    except Exception as error:  # a file may hold what was never stored, and the others are good
        return Replayed(str(file), state["prompt"], None, f"{file}: {_unfit(error)}")


def _unfit(error: Exception) -> str:
    return f"no run has gone like this: {type(error).__name__}"


async def _compared(replayer: Replayer, state: RunState, options: argparse.Namespace) -> RunReplay:
    try:
        return await compared(replayer, state, options.live, ignoring=options.ignore)
    except LiveRejected as error:
        raise NotReplayed(f"--live: {error}") from None


def _lines_of(one: Replayed) -> Iterator[str]:
    """One line for what is the same, and where the first difference is for what is not."""
    yield f"{'same   ' if one.same else 'differs'}  {one.name}  {one.prompt[:60]}".rstrip()
    first, *more = [*one.lines, ""]
    if not one.same:
        yield f"         {first}"
        if len(more) > 1:
            yield f"         and {counted(len(more) - 1, 'more difference')} after it"


def _write_junit(file: Path, results: Sequence[Replayed]) -> None:
    """One test case a run. Raises `NotReplayed` where it cannot be written."""
    from xml.etree import ElementTree  # half a megabyte, which no other command needs

    failed = sum(one.found is not None and not one.same for one in results)
    broken = sum(one.found is None for one in results)
    suite = ElementTree.Element(
        "testsuite",
        name="runwright replay",
        tests=str(len(results)),
        failures=str(failed),
        errors=str(broken),
    )
    for one in results:
        case = ElementTree.SubElement(
            suite, "testcase", classname="runwright.replay", name=printable(one.name)
        )
        if not one.same:
            kind = "error" if one.found is None else "failure"
            lines = [printable(text) for text in one.lines]
            ElementTree.SubElement(case, kind, message=lines[0]).text = "\n".join(lines)
    ElementTree.indent(suite)
    try:
        ElementTree.ElementTree(suite).write(file, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise NotReplayed(f"--junit {file}: {error.strerror or error}") from None


# `runwright diff`.


async def diff_runs(settings: Settings, options: argparse.Namespace) -> tuple[str, int]:
    """What two runs do not have in common, one thing a line; 1 if there is something, else 0.

    Raises what `replay_runs` raises.
    """
    quiet_logging(settings)
    first, second = [
        await _state(settings, options, one) for one in (options.first, options.second)
    ]
    try:
        found: list[Difference] = differences(first, second)
    except Exception as error:  # as above
        raise NotReplayed(_unfit(error)) from None
    if options.json:
        return pretty(found), int(bool(found))
    return "\n".join(line(in_words(one)) for one in found) or "nothing differs", int(bool(found))


async def _state(settings: Settings, options: argparse.Namespace, named: str) -> RunState:
    for file in _files(named)[:1]:
        return _read_file(file)
    async with reached(settings, options.url) as there:
        exported = await _exported(there, named)
        return cast("RunState", exported["run"])


# Reading files.


def _read_file(file: Path) -> RunState:
    try:
        return read_export(json.loads(file.read_text("utf-8")), str(file))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it has no JSON"
        raise NotReplayed(f"{file}: {reason or error}") from None


#: What no run is without.
_NEEDED = ("run_id", "status", "prompt", "plan", "planning_log")


def read_export(exported: Any, name: str) -> RunState:
    """The state in a file that `export` has written. Raises `NotReplayed`."""
    if not isinstance(exported, dict) or exported.get("format") != FORMAT:
        raise NotReplayed(f"{name}: it is not what `runwright export` writes")
    try:
        TypeAdapter(RunState).validate_python(exported.get("run"))
    except ValidationError as invalid:
        [fault, *_] = invalid.errors(include_url=False, include_context=False)
        place = ".".join(map(str, ("run", *fault["loc"])))
        raise NotReplayed(f"{name}: {place}: {fault['msg']}") from None
    state = cast("RunState", exported["run"])
    if missing := [one for one in _NEEDED if one not in state]:
        raise NotReplayed(f"{name}: the run has no {missing[0]}")
    if state["status"] not in SETTLED_OR_WAITING:
        raise NotReplayed(f"{name}: the run was {state['status']}, and its record is not whole")
    return state
