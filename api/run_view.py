"""What a terminal shows of a run: its events in words, one line for each that matters."""

import io
import json
import sys
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

from api.times import rfc3339
from graph.events import Event


class View(Protocol):
    """Shows one run to a person for as long as its context lasts."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def show(self, event: Event) -> None:
        """Show the next event."""

    def note(self, text: str) -> None:
        """Say something about the watching itself, in one line."""


class Story:
    """Puts the events of one run into words, in their order.

    The words come from users, tools and models: what a terminal would act upon is escaped.
    """

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._models_asked = False

    def words(self, event: Event) -> str | None:
        """What to say of an event; None where it says nothing that the others do not."""
        data = event["data"]
        match event["type"]:
            case "run.queued":
                return f"run {printable(self._run_id)}"
            case "plan.attempt" if data["planner"] == "llm":
                self._models_asked = True
                return line(_asked(data))
            case "plan.fallback" if self._models_asked:
                return line(f"  plan by pattern instead{_in_brackets(data['reason'])}")
            case "run.waiting":
                ways = (f"`runwright {act} {self._run_id}`" for act in ("approve", "reject"))
                return line(f"waiting for a person: {' or '.join(ways)}")
            case "plan.made":
                return line(_plan(data))
            case "step.completed" | "step.failed":
                return line(_attempt(event))
            case _:
                return _of_the_run(event)


class PlainView:
    """Lines for a file, a pipe or a terminal that cannot move its cursor."""

    def __init__(self, run_id: str, out: TextIO, notes: TextIO) -> None:
        self._story = Story(run_id)
        self._out = out
        self._notes = notes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left to be done: every line is out."""

    def show(self, event: Event) -> None:
        """Write the event's line, if it has one."""
        if (words := self._story.words(event)) is not None:
            self._out.write(f"{words}\n")
            self._out.flush()

    def note(self, text: str) -> None:
        """Write a line beside the output, so that the output is the run's alone."""
        self._notes.write(line(f"runwright: {text}") + "\n")
        self._notes.flush()


class NoView(PlainView):
    """Notes only: the output is for a program."""

    def show(self, event: Event) -> None:
        """Keep it."""


def open_view(run_id: str, *, as_json: bool) -> View:
    """What suits the standard output: a live view on a terminal, plain lines elsewhere."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # whatever a model says can be written
    if as_json:
        return NoView(run_id, sys.stdout, sys.stderr)
    from api.live_view import LiveView, new_console

    console = new_console()
    # Rich can be told to take a pipe for a terminal, for colours; a pipe still has no cursor.
    if console.is_interactive and sys.stdout.isatty():
        return LiveView(run_id, console)
    return PlainView(run_id, sys.stdout, sys.stderr)


def pretty(value: Any) -> str:
    """JSON for people; what a terminal would act upon is escaped as JSON has it."""
    return printable(json.dumps(value, ensure_ascii=False, indent=2), keep="\n")


def line(text: str) -> str:
    """One line, whatever is in it."""
    return printable(text)


def printable(text: str, keep: str = "") -> str:
    """The text with everything that is no visible character escaped, except what is in `keep`."""
    return "".join(
        char if char.isprintable() or char in keep else json.dumps(char)[1:-1] for char in text
    )


def _of_the_run(event: Event) -> str | None:
    data = event["data"]
    match event["type"]:
        case "run.taken_up":
            return line(f"taken up again{_in_brackets(data['detail'])}")
        case "run.approved" | "run.rejected":
            kind = event["type"].removeprefix("run.")
            return line(f"{kind} by {data['by']}{_in_brackets(data['detail'])}")
        case "run.expired":
            return "expired: nobody has decided in time"
        case "run.cancelling":
            return line(f"cancelling, asked for by {data['by']}")
        case "run.retried":
            return line(f"retried by {data['by']}{_in_brackets(data['detail'])}")
        case "run.completed":
            return _output(data["result"]["output"])
        case "run.failed" | "run.cancelled":
            return _reason(event["type"].removeprefix("run."), data["error"])
        case _:
            return None


def _asked(call: dict[str, Any]) -> str:
    why = call["error_class"] or "; ".join(call["reasons"])
    words = f"  plan {call['model']}: {call['outcome']} in {call['duration_ms']:.0f} ms"
    return words + _in_brackets(why)


def _plan(made: dict[str, Any]) -> str:
    by, steps = made["planned_by"], len(made["steps"])
    planner = by["model"] or by["source"]
    return f"plan by {planner} ({by['reason']}): {steps} step{'s' * (steps != 1)}"


def _attempt(event: Event) -> str:
    made = event["data"]
    words = f"  step {event['step']} {made['tool']}: {made['status']}"
    words += f" in {made['duration_ms']:.0f} ms"
    if made["error"]:
        words += f" (attempt {event['attempt']}: {made['error']['message']})"
    if made["thread_running"]:
        words += ", its thread still runs"
    if made["retry_at"]:
        words += f", again at {rfc3339(made['retry_at'])}"
    return words


def _output(value: Any) -> str:
    """The result as it is; text keeps its lines."""
    return printable(value, keep="\n\t") if isinstance(value, str) else pretty(value)


def _reason(ending: str, error: dict[str, Any]) -> str:
    message = error["message"]
    said = message if message.startswith(ending) else f"{ending}: {message}"
    return "\n".join([line(said)] + [line(f"  try: {example}") for example in error["examples"]])


def _in_brackets(text: str | None) -> str:
    return f" ({text})" if text else ""
