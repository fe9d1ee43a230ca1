"""A run on a terminal: the lines of its events, and below them what it is doing just now."""

import logging
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from api.cli.text import EventLines, line
from graph.record.events import Event, EventType
from graph.runs.watch import AnswerDelta
from graph.state.wording import printable

#: How often what it is doing is drawn, a second.
FRAMES = 8

STYLES: dict[EventType, str] = {
    "run.queued": "dim",
    "run.taken_up": "yellow",
    "plan.attempt": "dim",
    "plan.fallback": "yellow",
    "step.completed": "green",
    "step.failed": "red",
    "step.in_doubt": "yellow",
    "run.cancelling": "yellow",
    "run.retried": "yellow",
    "run.failed": "bold red",
    "run.cancelled": "bold yellow",
}


@dataclass(frozen=True)
class Activity:
    """What a run does since an epoch second, or waits to do until `due`."""

    what: str
    since: float
    due: float | None = None

    def words(self, now: float) -> str:
        """It at the epoch second `now`."""
        if self.due is not None and self.due > now:
            return f"{self.what} in {_span(math.ceil(self.due - now))}"
        return f"{self.what}, {_span(int(max(0.0, now - self.since)))}"


def activity_after(event: Event, before: Activity | None) -> Activity | None:
    """What the run does once `event` has happened; None when there is nothing to tell."""
    at = event["at"]
    match event["type"]:
        case "run.queued" | "run.retried":
            return Activity("queued", at)
        case "run.started" | "plan.started":
            return Activity("planning", at)
        case "plan.attempt" | "plan.fallback":
            return before
        case "run.taken_up":
            return before and replace(before, since=max(before.since, at))
        case "step.started":
            return _attempt(event)
        case "run.waiting":
            return Activity("waiting for a person", at)
        case "run.cancelling":
            return Activity("cancelling", at)
        case _:
            return None


class TerminalView:
    """Finished lines scroll up, the last one is drawn anew while its context lasts."""

    def __init__(
        self, run_id: str, console: Console, *, now: Callable[[], float] = time.time
    ) -> None:
        self._lines = EventLines(run_id)
        self._console = console
        self._now = now
        self._activity: Activity | None = None
        self._answer = ""
        self._spinner = Spinner("line" if console.options.ascii_only else "dots")
        self._live = Live(
            get_renderable=self._current,
            console=console,
            refresh_per_second=FRAMES,
            transient=True,
            redirect_stderr=sys.stderr.isatty(),
        )
        self._drawing = ExitStack()

    def __enter__(self) -> Self:
        self._drawing.enter_context(self._live)
        self._drawing.enter_context(_log_lines_above())
        return self

    def __exit__(self, *_: object) -> None:
        self._drawing.close()

    def show(self, event: Event) -> None:
        """Print the event's line, if it has one, and draw what follows."""
        self._activity = activity_after(event, self._activity)
        self._answer = ""
        if unheard := self._lines.unheard(event):
            self._console.print(Text(printable(unheard, keep="\n\t")))
        self._live.refresh()  # or the line would be followed by what it was doing before
        if (words := self._lines.words(event)) is not None:
            self._console.print(Text(words, STYLES.get(event["type"], "")))

    def hear(self, delta: AnswerDelta) -> None:
        """Draw the answer as far as it was given; it is printed at the end."""
        if delta["offset"] <= len(self._answer):
            self._answer = self._answer[: delta["offset"]] + delta["text"]

    def note(self, text: str) -> None:
        """Print a line among the others."""
        self._console.print(Text(line(text), "yellow"))

    def _current(self) -> RenderableType:
        if self._answer:
            # As much of its end as there is room for.
            room = self._console.width * max(1, self._console.height - 2)
            lines = printable(self._answer, keep="\n\t")[-room:].split("\n")
            return Text("\n".join(lines[-max(1, self._console.height - 2) :]))
        activity = self._activity
        if activity is None:
            return Text()
        self._spinner.update(text=Text(line(activity.words(self._now()))))
        return self._spinner


def new_console() -> Console:
    """The standard output, with nothing in it interpreted."""
    return Console(markup=False, emoji=False, highlight=False, soft_wrap=True)


@contextmanager
def _log_lines_above() -> Iterator[None]:
    """Log lines go where the standard error goes by now, or they would cut through the drawing."""
    handlers = [one for one in logging.getLogger().handlers if type(one) is logging.StreamHandler]
    former = [handler.setStream(sys.stderr) for handler in handlers]
    try:
        yield
    finally:
        for handler, stream in zip(handlers, former, strict=True):
            if stream is not None:
                handler.setStream(stream)


def _attempt(event: Event) -> Activity:
    due = event["data"]["not_before"]
    what = f"step {event['step']} {event['data']['tool']}"
    if event["attempt"] != 1:
        what += f", attempt {event['attempt']}"
    return Activity(what, since=max(event["at"], due or 0.0), due=due)


def _span(seconds: int) -> str:
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
