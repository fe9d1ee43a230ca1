"""`runwright list`, `show` and `explain`: what is kept of runs, texts once and not waited for."""

from collections.abc import Sequence
from typing import Any

from api.cli.lines import EventLines, line, pretty
from api.cli.local_run import NotWatched
from api.cli.run import owner_here, quiet_logging, reached, told_in_a_line
from api.cli.server_run import ask, ask_events, ask_of_run
from api.views.answers import ExplanationAnswer, Run, shape
from graph.record.events import Event
from graph.service import Runs
from graph.settings import Settings
from graph.state.wording import counted
from graph.storage.pages import Page
from graph.storage.search import LARGEST_BOUND, Search, terms

#: Characters of a prompt in a line of the list.
SHOWN = 60


async def listed(settings: Settings, search: Search, *, url: str | None, as_json: bool) -> str:
    """The caller's runs, one a line, or the page as JSON; the newest first, on one page.

    Raises what `open_runs` raises, `NotStarted` where the caller has no key, and `NotWatched`.
    """
    quiet_logging(settings)
    _check(search)
    async with reached(settings, url) as there:
        page = await _page(there, settings, search)
    return pretty(page) if as_json else _table(page)


def _check(search: Search) -> None:
    """As a server would. Raises `NotWatched`."""
    if search.text is not None and not terms(search.text):
        raise NotWatched("--text must hold a word, of letters or digits")
    for name, bound in (("min", search.min_rounds), ("max", search.max_rounds)):
        if bound is not None and not 0 <= bound <= LARGEST_BOUND:
            raise NotWatched(f"--{name}-rounds must be from 0 to {LARGEST_BOUND:,}")


async def _page(there: Any, settings: Settings, search: Search) -> Any:
    if isinstance(there, Runs):
        with told_in_a_line():
            found = await there.search(owner_here(settings), search)
        return shape(Page).plain(found)
    given = {
        "limit": search.limit,
        "status": search.statuses,
        "text": search.text,
        "min_rounds": search.min_rounds,
        "max_rounds": search.max_rounds,
        "metadata": [f"{key}:{value}" for key, value in search.metadata],
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
    prompt = " ".join(run["prompt"].split())
    shown = prompt if len(prompt) <= SHOWN else f"{prompt[: SHOWN - 1]}…"
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
