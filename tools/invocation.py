"""One call of one tool: its input checked, its time bounded, its failure described."""

import asyncio
import copy
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from graph.state.wording import printable
from tools.registry import Tool, ToolCall, ToolError, ToolProgress
from tools.threads import Late, ToolThreads
from tools.values import UnfitInput, UnfitOutput, plain_data

logger = logging.getLogger("runwright.tools")

#: Failures of the world around a tool that may be gone at the next attempt.
TRANSIENT = (TimeoutError, ConnectionError, sqlite3.OperationalError)


#: How long a tool may take to stop once it is told to, in seconds.
STOP_GRACE = 1.0

#: Longest message of a failure that is kept, in characters.
MAX_MESSAGE = 2_000

#: What is told of an exception that no tool has announced: its text, or only its type.
ToolErrors = Literal["text", "type"]


@dataclass(frozen=True)
class Failure:
    """Why a call failed; `retryable` says whether another attempt may succeed."""

    type: str
    message: str
    retryable: bool


@dataclass(frozen=True)
class Outcome:
    """How one call ended.

    `thread_running`: a blocking tool was left behind and may still act. `called`: the tool was
    begun at all. `doubtful`: the failure does not tell whether it acted.
    """

    status: Literal["ok", "error", "timeout"]
    output: Any = None
    failure: Failure | None = None
    thread_running: bool = False
    called: bool = True
    doubtful: bool = False


#: Notes that the tool is about to be entered; what it raises keeps it from being entered.
Begin = Callable[[], Awaitable[None]]


#: Makes a call as `invoke` does, or stands for one that was made.
Invoke = Callable[..., Awaitable[Outcome]]


async def _at_once() -> None:
    """Nothing is to be noted."""


def _forget(value: Any, error: BaseException | None) -> None:
    """Nobody wants to know."""


async def invoke(
    tool: Tool,
    value: Mapping[str, Any],
    call: ToolCall,
    *,
    timeout: float,
    threads: ToolThreads,
    begin: Begin | None = None,
    late: Late = _forget,
    errors: ToolErrors = "text",
) -> Outcome:
    """Call `tool` with `value`, for at most `timeout` seconds.

    The caller's cancellation passes through, and what `begin` raises, which is awaited at the last
    moment before the tool is entered; everything else, the tool's own bugs too, becomes the
    outcome. An output is plain data by then. `late` is told how a call ended that was left to
    itself. `errors` says what is told of an exception that the tool did not announce; the log has
    where it came from, and at debug it whole. What the tool says of its progress gives it no more
    time.
    """
    progress = _LastProgress(call.progress)
    call = replace(call, progress=progress)
    try:
        arguments = _arguments(tool, value, call)
    except UnfitInput as unfit:
        message = f"{tool.name} cannot take this input: {unfit}"
        return _failed("InvalidInput", message, called=False)
    try:
        outcome = await _run(tool, arguments, call.step_key, timeout, threads, begin, late)
    except _NotBegun as unnoted:
        raise unnoted.reason from None
    except ToolError as error:
        return _failed("ToolError", error.message, retryable=bool(error.retryable))
    except TRANSIENT as error:
        logger.warning("tool %s failed", tool.name, exc_info=error, extra=_quoting(call))
        said = f"{tool.name} could not reach what it needs{_details(error, errors)}"
        failed = _failed(type(error).__name__, said, True)
        return replace(failed, doubtful=not isinstance(error, ConnectionRefusedError))
    except Exception as error:
        broken = error.__cause__ if isinstance(error, _Escaped) else error
        logger.exception("tool %s broke", tool.name, extra=_quoting(call))
        kind = type(broken).__name__
        return _failed(kind, f"{tool.name} broke with {kind}{_details(broken, errors)}")
    if outcome.status == "timeout":
        return progress.added_to(outcome)
    return _as_plain_data(tool, outcome)


def _quoting(call: ToolCall) -> dict[str, object]:
    """What a line is about whose exception may quote the call's input."""
    return {"step_key": call.step_key, "quotes": True}


class _LastProgress:
    """Passes on how far a call says that it is, and keeps what it said last, and when."""

    def __init__(self, tell: Callable[[ToolProgress], None]) -> None:
        self._tell = tell
        self._last: tuple[ToolProgress, float] | None = None

    def __call__(self, progress: ToolProgress) -> None:
        self._last = progress, time.monotonic()
        self._tell(progress)

    def added_to(self, late: Outcome) -> Outcome:
        """The same, its message with how far the call was when its time was up."""
        if self._last is None or late.failure is None:
            return late
        progress, at = self._last
        of = "" if progress.total is None else f" of {progress.total:g}"
        words = f"its last word was {progress.done:g}{of}, {time.monotonic() - at:.1f} s before"
        return replace(
            late, failure=replace(late.failure, message=f"{late.failure.message}; {words}")
        )


def _as_plain_data(tool: Tool, outcome: Outcome) -> Outcome:
    """The same with an output that JSON has a form for, or the failure that it has none."""
    try:
        return replace(outcome, output=plain_data(outcome.output))
    except UnfitOutput as unfit:
        return _failed("InvalidOutput", f"{tool.name} returned what cannot be kept: {unfit}")
    except Exception as error:  # whatever an object's own methods do when it is looked at
        reason = f"its output cannot be read ({type(error).__name__})"
        return _failed("InvalidOutput", f"{tool.name}: {reason}")


class _NotBegun(Exception):
    """The tool was not entered, since that could not be noted, for this reason."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(str(reason))
        self.reason = reason


class _Escaped(Exception):
    """What a tool raised is no `Exception`, and would end more than the tool."""


async def _run(
    tool: Tool,
    arguments: dict[str, Any],
    step_key: str,
    timeout: float,
    threads: ToolThreads,
    begin: Begin | None,
    late: Late,
) -> Outcome:
    if tool.coroutine is not None:
        await _begun(begin or _at_once)
        task = asyncio.ensure_future(_contained(tool, arguments))
        task.add_done_callback(_look)
        return await _within(timeout, tool, task, lambda: _watch(task, late))
    assert tool.func is not None
    # What is noted must not be of a call that then finds no thread: a thread waits for the note.
    gate: Future[None] = Future()
    function = tool.func if begin is None else partial(_entered, gate, tool.func)
    work = threads.start(step_key, function, arguments)
    try:
        # Waiting for a free thread is not the tool's time; waiting for ever would be the server's.
        await asyncio.wait([work.started], timeout=timeout)
        if not work.started.done():
            return _failed(
                "NoFreeThread", f"no thread was free for {tool.name}", True, called=False
            )
        if begin is not None:
            await _begun(begin)
            gate.set_result(None)
        outcome = await _within(timeout, tool, work.result, lambda: work.leave(late))
    finally:
        gate.cancel()  # a call that was not begun by now never is
        work.abandon()
    if outcome.status == "timeout" and work.running:
        return replace(outcome, thread_running=True)
    return outcome


async def _begun(begin: Begin) -> None:
    try:
        await begin()
    except Exception as error:
        raise _NotBegun(error) from error


def _entered(gate: Future[None], function: Callable[..., Any], **arguments: Any) -> Any:
    gate.result()
    return function(**arguments)


def _watch(task: asyncio.Future[Any], late: Late) -> None:
    """Let `late` be told how a coroutine ends that was told to stop, unless it did."""

    def tell(ended: asyncio.Future[Any]) -> None:
        if not ended.cancelled():
            error = ended.exception()
            late(None if error else ended.result(), error)

    task.add_done_callback(tell)


def _look(work: asyncio.Future[Any]) -> None:
    """Retrieve what a tool raised, also where its caller was cancelled and nobody will."""
    if not work.cancelled():
        work.exception()


async def _contained(tool: Tool, arguments: dict[str, Any]) -> Any:
    """The tool's coroutine; what would end the event loop becomes a failure of the tool."""
    assert tool.coroutine is not None
    try:
        return await tool.coroutine(**arguments)
    except (Exception, asyncio.CancelledError):
        raise
    except BaseException as error:
        raise _Escaped from error


async def _within(
    timeout: float, tool: Tool, work: asyncio.Future[Any], leave: Callable[[], None]
) -> Outcome:
    """How the work ended, or that its time was up; it is told to stop, and left if it does not."""
    try:
        await asyncio.wait([work], timeout=timeout)
        in_time = work.done()
    finally:
        if not work.done():  # the time is up, or the caller was cancelled
            leave()
            work.cancel()
            await asyncio.wait([work], timeout=STOP_GRACE)
    if in_time:
        try:
            return Outcome("ok", output=work.result())
        except asyncio.CancelledError as error:
            raise _Escaped from error
    message = f"{tool.name} took longer than {timeout:g} s"
    if not work.done():
        message += " and does not stop when told to"
    elif not work.cancelled():
        work.exception()  # retrieved; it came too late to matter
    failure = Failure("Timeout", message, retryable=work.done())
    return Outcome("timeout", failure=failure, thread_running=not work.done(), doubtful=True)


def _arguments(tool: Tool, value: Mapping[str, Any], call: ToolCall) -> dict[str, Any]:
    # A copy: what a tool does to its arguments must not change the record of the attempt.
    arguments = tool.arguments(copy.deepcopy(value))
    if tool.call_parameter is not None:
        arguments[tool.call_parameter] = call
    return arguments


def _failed(kind: str, message: object, retryable: bool = False, *, called: bool = True) -> Outcome:
    return Outcome("error", failure=Failure(kind, _text(message), retryable), called=called)


def _details(error: BaseException | None, errors: ToolErrors) -> str:
    """What to say of an exception beside its type: its text, in one printable line."""
    if errors == "type":
        return "; the server's log has the details"
    lines = filter(None, map(str.strip, _text(error).splitlines()))
    said = printable(" ".join(lines))
    return said and f": {said}"


def _text(message: object) -> str:
    """A message as it can be kept: text of bounded length, whatever a tool has put into it."""
    try:
        text = message if isinstance(message, str) else str(message)
    except Exception:
        text = f"(a message of type {type(message).__name__} that cannot be shown)"
    whole = text.encode("utf-8", "replace").decode("utf-8")
    return whole if len(whole) <= MAX_MESSAGE else f"{whole[:MAX_MESSAGE]}…"
