"""What a command reads and says: a run told in words, and the three streams.

What users, tools and models say has no power over a terminal. The streams may be closed, full or of
another encoding.
"""

import io
import json
import os
import sys
from contextlib import suppress
from typing import Any, TextIO

from graph.record.events import Event
from graph.runs.watch import AnswerDelta
from graph.settings.configured import without_secrets
from graph.state.wording import counted, printable, rfc3339

# A run told in words: a line for each of its events that matters.


#: The events that have what came of a run.
ENDS = ("run.completed", "run.failed")

_CUT_OFF = "… (the answer was cut off)"


def waiting_behind(run_id: str, why: str) -> str:
    """What a run of a thread waits for, in words."""
    asked = {
        "approval": f"; that waits for a person: `runwright approve {run_id}`",
        "in_doubt": f"; that waits for a person: {resolving(run_id)}",
    }
    return f"it begins when run {run_id} of its thread has ended{asked.get(why, '')}"


class EventLines:
    """Puts the events of one run into words, in their order.

    The words come from users, tools and models: what a terminal would act upon is escaped.
    """

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._models_asked = False
        self._heard = ""
        self._cut_off = False

    def hear(self, delta: AnswerDelta) -> str:
        """The words of the answer that follow those before; none where some were missed.

        Where it begins anew, they are on a line of their own.
        """
        if delta["offset"] == 0 and self._heard:
            self._heard = delta["text"]
            return f"\n{delta['text']}"
        if delta["offset"] != len(self._heard):
            return ""
        self._heard += delta["text"]
        return delta["text"]

    def unheard(self, event: Event) -> str:
        """What an event at the end of a run has of the answer that was not heard yet.

        Where no answer came of what was heard, that it was cut off.
        """
        result = event["data"].get("result") if event["type"] in ENDS else None
        answer = result.get("answer") if result else None
        if not answer and not (self._heard and event["type"] in ENDS):
            return ""
        heard, self._heard = self._heard, ""
        if not answer:
            self._cut_off = True
            return _CUT_OFF
        text: str = answer["text"]
        return text.removeprefix(heard) if text.startswith(heard) else f"\n{text}"

    def texts(self, event: Event) -> list[str]:
        """All that is to be said of an event to somebody who has heard nothing of an answer."""
        unheard, words = printable(self.unheard(event), keep="\n\t"), self.words(event)
        return [text for text in (unheard, words) if text]

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
            case "run.waiting" if event["step"] is not None:
                return line(f"waiting for a person: {resolving(self._run_id)}")
            case "run.waiting":
                variants = (f"`runwright {act} {self._run_id}`" for act in ("approve", "reject"))
                asked = line(f"waiting for a person: {' or '.join(variants)}")
                return "\n".join([asked, *map(line, _scopes(data["tools"]))])
            case "plan.made":
                return line(_plan(data))
            case "step.completed" | "step.failed" | "step.in_doubt":
                return line(_attempt(event))
            case "run.completed" if self._cut_off:
                return f"{line(_summary(data['result']))}\n{_result(data['result'])}"
            case _:
                return _of_the_run(event)


def resolving(run_id: str) -> str:
    """How a step in doubt is decided about."""
    return f"`runwright resolve {run_id} --as done|redo|skip|fail`"


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
        case "run.resolved":
            return line(f"resolved by {data['by']}{_in_brackets(data['detail'])}")
        case "run.cancelling":
            return line(f"cancelling, asked for by {data['by']}")
        case "run.retried":
            return line(f"retried by {data['by']}{_in_brackets(data['detail'])}")
        case "run.completed":
            return _result(data["result"])
        case "run.failed" | "run.cancelled":
            reason = _reason(event["type"].removeprefix("run."), data["error"])
            result = data.get("result")
            return f"{_result(result)}\n{reason}" if result and result.get("answer") else reason
        case _:
            return None


def _asked(call: dict[str, Any]) -> str:
    why = ": ".join(filter(None, [call["error_class"], "; ".join(call["reasons"])]))
    words = f"  plan {call['model']}: {call['outcome']} in {call['duration_ms']:.0f} ms"
    return words + _in_brackets(why)


def _plan(made: dict[str, Any]) -> str:
    by, steps = made["planned_by"], counted(len(made["steps"]), "step")
    planner = by["model"] or by["source"]
    number = made.get("round", 1)
    plan = "plan" if number == 1 else f"round {number}, plan"
    words = {"look": ", then a look at what they return", "refuse": "; it gave up"}
    follows = words.get(str(made.get("then")), "")
    return f"{plan} by {planner} ({by['reason']}): {steps}{follows}"


def _scopes(tools: list[dict[str, Any]]) -> list[str]:
    """The calls that are about several things or all, which a person must not overlook."""
    return [f"  {tool['tool']}, {scope}" for tool in tools for scope in tool.get("scope", ())]


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


def _result(result: dict[str, Any]) -> str:
    """What came out; below an answer in words what we say of it, which counts and never quotes."""
    lines = [line(_summary(result)) if result.get("answer") else _output(result["output"])]
    if shaped := result.get("structured"):
        lines.append(line(shaped["reason"]) if shaped["reason"] else pretty(shaped["value"]))
    return "\n".join(lines)


def _summary(result: dict[str, Any]) -> str:
    return f"({result['summary']})"


def _output(value: Any) -> str:
    """The result as it is; text keeps its lines."""
    return printable(value, keep="\n\t") if isinstance(value, str) else pretty(value)


def _reason(ending: str, error: dict[str, Any]) -> str:
    message = error["message"]
    if error.get("type") == "planning_failed":
        ending = f"{ending}, since no model could be asked"
    said = message if message.startswith(ending) else f"{ending}: {message}"
    return "\n".join([line(said)] + [line(f"  try: {example}") for example in error["examples"]])


def _in_brackets(text: str | None) -> str:
    return f" ({text})" if text else ""


def in_doubt_lines(record: dict[str, Any]) -> list[str]:
    """What a run asks about a step in doubt, and what is known of it by now."""
    asked = record.get("in_doubt")
    if asked is None:
        return [f"run {record['run_id']} is {record['status']}; no step of it is to be resolved"]
    step = f"step {asked['step']} {asked['tool']}, attempt {asked['attempt']}"
    lines = [f"{step}: {asked['known']}"]
    if learned := asked["learned"]:
        lines.append(
            f"since then, at {learned['at']}, it has {learned['ended']}: {learned['detail']}"
        )
    lines.append(f"until {asked['expires_at']}: {resolving(record['run_id'])}")
    return lines


# Text on a terminal.


def pretty(value: Any) -> str:
    """JSON for people; what a terminal would act upon is escaped as JSON has it."""
    return printable(json.dumps(value, ensure_ascii=False, indent=2), keep="\n")


def line(text: str) -> str:
    """One line, whatever is in it."""
    return printable(text)


# The three streams of a command.


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
