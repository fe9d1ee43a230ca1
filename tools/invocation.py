"""One call of one tool: its input checked, its time bounded, its output plain, or why it failed."""

import asyncio
import copy
import inspect
import logging
import sqlite3
import time
from collections import abc, deque
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache, partial
from typing import Any, Literal, cast

from pydantic import BaseModel, PydanticUserError, TypeAdapter
from pydantic_core import PydanticSerializationError, SchemaError, to_jsonable_python

from graph.state.wording import printable
from tools.registry import ToolCall, ToolError, ToolProgress
from tools.threads import Late, ToolThreads, entered, forget, tell_of_end
from tools.toolbox import (
    NO_AWAITABLE,
    NO_BYTES,
    NO_FORM,
    NO_FUNCTION,
    NO_ITERATOR,
    NO_KEYS,
    NO_SET,
    Failure,
    Outcome,
    Tool,
    UnfitInput,
    UnfitOutput,
)

logger = logging.getLogger("runwright.tools")

#: Failures of the world around a tool that may be gone at the next attempt.
TRANSIENT = (TimeoutError, ConnectionError, sqlite3.OperationalError)

#: How long a tool may take to stop once it is told to, in seconds.
STOP_GRACE = 1.0

#: Longest message of a failure that is kept, in characters.
MAX_MESSAGE = 2_000

#: What is told of an exception that no tool has announced: its text, or only its type.
ToolErrors = Literal["text", "type"]


#: Notes that the tool is about to be entered; what it raises keeps it from being entered.
Begin = Callable[[], Awaitable[None]]

#: Makes a call as `invoke` does, or stands for one that was made.
Invoke = Callable[..., Awaitable[Outcome]]


async def _at_once() -> None:
    """Nothing is to be noted."""


async def invoke(
    tool: Tool,
    value: Mapping[str, Any],
    call: ToolCall,
    *,
    timeout: float,
    threads: ToolThreads,
    begin: Begin | None = None,
    late: Late = forget,
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
        return await _within(timeout, tool, task, lambda: tell_of_end(task, late))
    assert tool.func is not None
    # What is noted must not be of a call that then finds no thread: a thread waits for the note.
    gate: Future[None] = Future()
    function = tool.func if begin is None else partial(entered, gate, tool.func)
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


# What a tool has returned, as plain data.


#: How deep a value is looked into; a record holds fewer levels, and says so.
DEEPEST = 200


def plain_data(value: Any, depth: int = 0) -> Any:
    """The value with what JSON has no form for converted, as pydantic does it.

    Models, dataclasses and named tuples, dates and times, decimals, paths, members of enumerations
    and the like are written as pydantic writes them; sets become lists in order. Raises
    `UnfitOutput`.
    """
    if value is None or isinstance(value, str | int | float) or depth > DEEPEST:
        return value
    match value:
        case Mapping():
            return _plain_mapping(value, depth)
        case BaseModel():
            return _sorted_sets(value.model_dump(), _converted(value))
        case _ if reason := _unfit_value(value):
            raise UnfitOutput(reason)
        case abc.KeysView() | abc.ItemsView() | abc.ValuesView() | abc.Sequence() | deque():
            return [plain_data(item, depth + 1) for item in value]
        case abc.Set():
            return _in_order([plain_data(item, depth + 1) for item in value])
        case _ if is_dataclass(value) and not hasattr(value, "__pydantic_serializer__"):
            values = {part.name: getattr(value, part.name) for part in fields(value)}
            return _plain_mapping(values, depth)
        case _:
            return _converted(value)


def _unfit_value(value: Any) -> str | None:
    match value:
        case bytes() | bytearray() | memoryview():
            return NO_BYTES
        case abc.Awaitable():
            if inspect.iscoroutine(value):
                value.close()  # or Python would complain that it was never awaited
            return NO_AWAITABLE
        case abc.Iterator() | abc.AsyncIterator():
            return NO_ITERATOR
        case abc.Callable():
            return NO_FUNCTION
        case _:
            return None


def _sorted_sets(value: Any, written: Any) -> Any:
    """What a model has `written`, in which each list that was a set of the `value` is in order."""
    match value, written:
        case dict(), dict() if len(value) == len(written):
            pairs = zip(value.values(), written.items(), strict=True)
            return {name: _sorted_sets(item, text) for item, (name, text) in pairs}
        case list() | tuple(), list() if len(value) == len(written):
            return [_sorted_sets(*pair) for pair in zip(value, written, strict=True)]
        case set() | frozenset(), list():
            return _in_order(written)
        case _:
            return written


def _plain_mapping(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, item in value.items():
        name = _plain_key(key)
        if name in plain:
            raise UnfitOutput(f"two keys would both be {name!r}; keys are text in JSON")
        plain[name] = plain_data(item, depth + 1)
    return plain


def _plain_key(key: Any) -> str:
    if isinstance(key, str) and type(key).__str__ is str.__str__:
        return key
    if key is None or isinstance(key, tuple | frozenset | bytes):
        raise UnfitOutput(f"the key {key!r}: {NO_KEYS}")
    [name] = _converted({key: None})
    return str(name)


def _in_order(values: list[Any]) -> list[Any]:
    try:
        return sorted(values)
    except TypeError:
        raise UnfitOutput(NO_SET) from None


def _converted(value: Any) -> Any:
    try:
        return to_jsonable_python(value, fallback=_by_its_type)
    except UnicodeDecodeError:
        raise UnfitOutput(NO_BYTES) from None
    except PydanticSerializationError as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, UnfitOutput):
            raise cause from None
        why = f"{type(value).__name__} cannot be written as JSON: {error}"
        raise UnfitOutput(" ".join(why.split())) from None


def _by_its_type(value: Any) -> Any:
    """What pydantic writes only where it is told the type."""
    adapter = _adapter(cast("Any", type(value)))
    if adapter is None:
        raise UnfitOutput(f"{type(value).__name__}: {NO_FORM}")
    return adapter.dump_python(value, mode="json")


@lru_cache(64)
def _adapter(kind: Any) -> TypeAdapter[Any] | None:
    try:
        return TypeAdapter(kind)
    except (PydanticUserError, SchemaError, TypeError):
        return None
