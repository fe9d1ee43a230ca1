"""`runwright list`, `show`, `explain`, `threads` and `audit`: what is kept, told once."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, get_args
from urllib.parse import quote

from api.cli.follow import NotWatched, is_id, owner_here, quiet_logging
from api.cli.run import BY, add_metadata, metadata_of, reached, told_in_a_line
from api.cli.server_run import ask, ask_events, ask_of_run, send
from api.cli.text import EventLines, line, pretty
from api.views import ExplanationAnswer, Run, shape
from graph.commands.threads import ThreadNotSettled
from graph.record.events import Event
from graph.runs.accept import ChoiceRejected
from graph.runs.threads import ThreadNotFound
from graph.service import Runs
from graph.settings import Settings
from graph.state.status import STATUSES
from graph.state.wording import counted, shortened
from graph.storage.records import (
    Act,
    AuditPage,
    AuditQuery,
    NameTaken,
    Thread,
    ThreadChange,
    ThreadPage,
)
from graph.storage.search import LARGEST_BOUND, Page, Search, terms

#: Characters of a prompt in a line of the list.
SHOWN = 60


def add_list(commands: Any) -> argparse.ArgumentParser:
    """The command line of `list`."""
    several: argparse.ArgumentParser = commands.add_parser("list", help="list the newest runs")
    several.add_argument(
        "--status", action="append", choices=STATUSES, default=[], help="only those; once or more"
    )
    several.add_argument("--text", help="only those with these words in the prompt")
    several.add_argument("--thread", help="only those of this thread, by name or id")
    for bound, at in (("min", "at least"), ("max", "at most")):
        several.add_argument(
            f"--{bound}-rounds",
            type=int,
            metavar="N",
            help=f"only those whose plan was made in {at} N rounds",
        )
    add_metadata(several, "only those that have it")
    several.add_argument(
        "--limit", type=int, choices=range(1, 201), default=20, metavar="N", help="how many, 1-200"
    )
    return several


def search_of(options: argparse.Namespace) -> Search:
    """What it looks for."""
    return Search(
        statuses=tuple(sorted(set(options.status))),
        text=options.text,
        min_rounds=options.min_rounds,
        max_rounds=options.max_rounds,
        metadata=tuple(sorted(metadata_of(options).items())),
        limit=options.limit,
    )


async def listed(
    settings: Settings,
    search: Search,
    *,
    thread: str | None = None,
    url: str | None,
    as_json: bool,
) -> str:
    """The caller's runs, one a line, or the page as JSON; the newest first, on one page.

    Those of a `thread` by its id or name, if one is given.

    Raises what `open_runs` raises, `NotStarted` where the caller has no key, and `NotWatched`.
    """
    quiet_logging(settings)
    _check(search)
    async with reached(settings, url) as there:
        if thread is not None:
            search = replace(
                search, thread_id=(await found_thread(there, settings, thread))["thread_id"]
            )
        page = await found_page(there, settings, search)
    return pretty(page) if as_json else _table(page)


def _check(search: Search) -> None:
    """As a server would. Raises `NotWatched`."""
    if search.text is not None and not terms(search.text):
        raise NotWatched("--text must hold a word, of letters or digits")
    for name, bound in (("min", search.min_rounds), ("max", search.max_rounds)):
        if bound is not None and not 0 <= bound <= LARGEST_BOUND:
            raise NotWatched(f"--{name}-rounds must be from 0 to {LARGEST_BOUND:,}")


async def found_page(
    there: Any, settings: Settings, search: Search, cursor: str | None = None
) -> Any:
    """A page of the caller's runs. Raises `NotWatched`."""
    if isinstance(there, Runs):
        with told_in_a_line():
            found = await there.search(owner_here(settings), search, cursor)
        return shape(Page).plain(found)
    given = {
        "limit": search.limit,
        "status": search.statuses,
        "text": search.text,
        "min_rounds": search.min_rounds,
        "max_rounds": search.max_rounds,
        "metadata": [f"{key}:{value}" for key, value in search.metadata],
        "thread_id": search.thread_id,
        "cursor": cursor,
    }
    query = {name: value for name, value in given.items() if value is not None}
    return await ask(there, "/runs", **query)


def _table(page: Any) -> str:
    lines = [_row(run) for run in page["runs"]]
    more = page["total"] - len(lines)
    if more > 0:
        least = "at least " if page["total_is_lower_bound"] else ""
        lines.append(f"{least}{counted(more, 'more run', grouped=True)}; --limit shows more")
    return "\n".join(lines or ["no runs"])


def _row(run: Any) -> str:
    shown = shortened(" ".join(run["prompt"].split()), SHOWN)
    return line(f"{run['run_id']}  {run['status']:<9}  {run['created_at'][:19]}Z  {shown}")


async def shown(settings: Settings, run_id: str, *, url: str | None, as_json: bool) -> str:
    """What was asked and what has happened so far, as lines, or the record as JSON.

    Raises what `open_runs` raises, and `NotWatched`.
    """
    quiet_logging(settings)
    async with reached(settings, url) as there:
        if isinstance(there, Runs):
            with told_in_a_line():
                record = shape(Run).plain(await there.get(run_id, owner=None))
                async with there.watching(run_id, owner=None, latest=True) as subscription:
                    events: Sequence[Event] = subscription.events
        else:
            record = await ask_of_run(there, run_id)
            events = await ask_events(there, run_id)
    return pretty(record) if as_json else _summary(record, events)


def _summary(record: Any, events: Sequence[Event]) -> str:
    lines = EventLines(record["run_id"])
    texts = [text for event in events for text in lines.texts(event)]
    first, *others = texts
    return "\n".join([f"{first}: {record['status']}", line(f"> {record['prompt']}"), *others])


async def explained(settings: Settings, run_id: str, *, url: str | None, as_json: bool) -> str:
    """Where the time of a run went and why it ended as it did, as sentences or as JSON.

    Raises what `open_runs` raises, and `NotWatched`.
    """
    quiet_logging(settings)
    async with reached(settings, url) as there:
        if isinstance(there, Runs):
            with told_in_a_line():
                made = await there.explain(run_id, owner=None)
            explanation = shape(ExplanationAnswer).plain(made)
        else:
            explanation = await ask_of_run(there, run_id, "/explain")
    if as_json:
        return pretty(explanation)
    causes = [f"  because {cause['message']}" for cause in explanation["causes"]]
    return "\n".join(map(line, [*explanation["sentences"], *causes]))


# `runwright threads`: conversations, listed and shown, named, exported and removed.


@dataclass(frozen=True, kw_only=True)
class ThreadOrder:
    """What is asked of one `thread`, by its id or name, or without it of all: to be listed."""

    thread: str | None = None
    rename: str | None = None
    delete: bool = False
    export: bool = False
    limit: int = 20


def add_threads(commands: Any) -> argparse.ArgumentParser:
    """The command line that an order is read from."""
    command: argparse.ArgumentParser = commands.add_parser(
        "threads", help="list conversations, or show, name, export or remove one"
    )
    command.add_argument("thread", nargs="?", help="one of them, by name or id")
    act = command.add_mutually_exclusive_group()
    act.add_argument("--rename", metavar="NAME", help="call it so")
    act.add_argument("--delete", action="store_true", help="remove it with all of its runs")
    act.add_argument("--export", action="store_true", help="print it with all records, as JSON")
    command.add_argument(
        "--limit", type=int, choices=range(1, 201), default=20, metavar="N", help="how many, 1-200"
    )
    return command


def order_of(options: argparse.Namespace) -> ThreadOrder:
    """What was asked."""
    return ThreadOrder(**{name: getattr(options, name) for name in ThreadOrder.__annotations__})


async def threads(settings: Settings, order: ThreadOrder, *, url: str | None, as_json: bool) -> str:
    """The threads, one a line; the runs of one; or what has become of it.

    Raises what `listed` raises.
    """
    quiet_logging(settings)
    if order.thread is None and (order.rename or order.delete or order.export):
        raise NotWatched("name the thread, by its id or its name")
    async with reached(settings, url) as there:
        if order.thread is None:
            page = await _threads(there, settings, limit=order.limit)
            rows = [_thread_row(thread) for thread in page["threads"]] or ["no threads"]
            return pretty(page) if as_json else "\n".join(rows)
        thread = await found_thread(there, settings, order.thread)
        thread_id = thread["thread_id"]
        if order.export:
            return pretty(await _exported(there, thread))
        if order.delete or order.rename:
            await _changed(there, thread_id, order)
            done = "removed" if order.delete else f"named {order.rename}"
            return line(f"thread {thread_id} is {done}")
        page = await found_page(there, settings, Search(thread_id=thread_id, limit=order.limit))
    return pretty(thread | page) if as_json else f"{_thread_row(thread)}\n{_table(page)}"


async def _threads(there: Any, settings: Settings, **asked: Any) -> Any:
    if isinstance(there, Runs):
        with told_in_a_line():
            found = await there.threads.page(owner_here(settings), **asked)
        return shape(ThreadPage).plain(found)
    return await ask(there, "/threads", **asked)


async def found_thread(there: Any, settings: Settings, named: str) -> Any:
    """The caller's thread of this id or name. Raises `NotWatched` where there is none."""
    if not is_id(named):
        found = await _threads(there, settings, limit=1, name=named)
        if not found["threads"]:
            raise NotWatched(f"there is no thread {named}; `runwright threads` lists them")
        return found["threads"][0]
    if isinstance(there, Runs):
        with _errors_in_a_line():
            return shape(Thread).plain(await there.threads.get(named, owner=owner_here(settings)))
    return await ask(there, _path(named))


async def _changed(there: Any, thread_id: str, order: ThreadOrder) -> None:
    if isinstance(there, Runs):
        with _errors_in_a_line():
            if order.delete:
                return await there.threads.remove(thread_id, owner=None, by=BY)
            change = ThreadChange(renamed=True, name=order.rename)
            await there.threads.change(thread_id, change, owner=None)
            return None
    method, body = ("DELETE", None) if order.delete else ("PATCH", {"name": order.rename})
    hint = "`runwright threads` tells what became of it"
    await send(there, method, _path(thread_id), body, hint=hint, failure=NotWatched)
    return None


async def _exported(there: Any, thread: Any) -> Any:
    thread_id = thread["thread_id"]
    if not isinstance(there, Runs):
        return await ask(there, f"{_path(thread_id)}/export")
    with told_in_a_line():
        records = [
            shape(Run).plain(one) async for one in there.threads.records(thread_id, owner=None)
        ]
    return thread | {"records": records}


@contextmanager
def _errors_in_a_line() -> Iterator[None]:
    try:
        with told_in_a_line():
            yield
    except (ThreadNotFound, ThreadNotSettled, NameTaken, ChoiceRejected) as error:
        raise NotWatched(str(error)) from None


def _path(thread_id: str) -> str:
    return f"/threads/{quote(thread_id, safe='')}"


def _thread_row(thread: Any) -> str:
    last = thread["last_run"]
    called = thread["name"] or " ".join(last["prompt"].split())
    shown = shortened(called, SHOWN)
    runs = counted(thread["runs"], "run", grouped=True)
    return line(f"{thread['thread_id']}  {runs:<8}  {last['created_at'][:19]}Z  {shown}")


# `runwright audit`: who did what with runs, those that were removed among them.


def add_audit(commands: Any) -> argparse.ArgumentParser:
    """The command line."""
    command: argparse.ArgumentParser = commands.add_parser("audit", help="list who did what")
    command.add_argument(
        "run_id", nargs="?", help="with this run, removed or not; without it with any"
    )
    command.add_argument(
        "--kind", action="append", choices=get_args(Act), default=[], help="only that; once or more"
    )
    command.add_argument(
        "--limit", type=int, choices=range(1, 201), default=20, metavar="N", help="how many, 1-200"
    )
    return command


def query_of(options: argparse.Namespace) -> AuditQuery:
    """What a command line asks for."""
    return AuditQuery(kinds=tuple(sorted(set(options.kind))), run_id=options.run_id)


async def audited(
    settings: Settings, query: AuditQuery, *, limit: int, url: str | None, as_json: bool
) -> str:
    """Who did what, one a line, or the page as JSON; the latest first.

    Of a database that no server has, it is told of all owners. Raises what `listed` raises.
    """
    quiet_logging(settings)
    async with reached(settings, url) as there:
        if isinstance(there, Runs):
            with told_in_a_line():
                found = await there.audit.page(query, owner=None, limit=limit)
            page: Any = shape(AuditPage).plain(found)
        else:
            asked: dict[str, Any] = {"limit": limit, "kind": query.kinds}
            if query.run_id is not None:
                asked["run_id"] = query.run_id
            page = await ask(there, "/audit", **asked)
    if as_json:
        return pretty(page)
    return "\n".join(map(_audit_row, page["entries"])) or "nothing"


def _audit_row(entry: Any) -> str:
    what = f"{entry['at'][:19]}Z  {entry['kind']:<8}{entry['run_id']}"
    return line(f"{what}  by {entry['by']}, of {entry['owner']}")
