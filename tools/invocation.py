"""One call of one tool: its input checked, its time bounded, its failure described."""

import asyncio
import copy
import json
import logging
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import ValidationError

from tools.outputs import UnfitOutput, plain_data
from tools.registry import Tool, ToolCall, ToolError
from tools.threads import ToolThreads

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
    begun at all.
    """

    status: Literal["ok", "error", "timeout"]
    output: Any = None
    failure: Failure | None = None
    thread_running: bool = False
    called: bool = True


async def invoke(
    tool: Tool,
    value: Mapping[str, Any],
    call: ToolCall,
    *,
    timeout: float,
    threads: ToolThreads,
    errors: ToolErrors = "text",
) -> Outcome:
    """Call `tool` with `value`, for at most `timeout` seconds.

    The caller's cancellation passes through; everything else, the tool's own bugs too, becomes
    the outcome. An output is plain data by then. `errors` says what is told of an exception that
    the tool did not announce; the log has it whole.
    """
    try:
        arguments = _arguments(tool, value, call)
    except ValidationError as invalid:
        return _failed("InvalidInput", _explain(tool, invalid), called=False)
    try:
        outcome = await _run(tool, arguments, call.step_key, timeout, threads)
    except ToolError as error:
        return _failed("ToolError", error.message, retryable=bool(error.retryable))
    except TRANSIENT as error:
        logger.warning(
            "tool %s failed", tool.name, exc_info=error, extra={"step_key": call.step_key}
        )
        said = f"{tool.name} could not reach what it needs{_details(error, errors)}"
        return _failed(type(error).__name__, said, True)
    except Exception as error:
        broken = error.__cause__ if isinstance(error, _Escaped) else error
        logger.exception("tool %s broke", tool.name, extra={"step_key": call.step_key})
        kind = type(broken).__name__
        return _failed(kind, f"{tool.name} broke with {kind}{_details(broken, errors)}")
    return _as_plain_data(tool, outcome)


def _as_plain_data(tool: Tool, outcome: Outcome) -> Outcome:
    """The same with an output that JSON has a form for, or the failure that it has none."""
    try:
        return replace(outcome, output=plain_data(outcome.output))
    except UnfitOutput as unfit:
        return _failed("InvalidOutput", f"{tool.name} returned what cannot be kept: {unfit}")
    except Exception as error:  # whatever an object's own methods do when it is looked at
        reason = f"its output cannot be read ({type(error).__name__})"
        return _failed("InvalidOutput", f"{tool.name}: {reason}")


class _Escaped(Exception):
    """What a tool raised is no `Exception`, and would end more than the tool."""


async def _run(
    tool: Tool, arguments: dict[str, Any], step_key: str, timeout: float, threads: ToolThreads
) -> Outcome:
    if tool.coroutine is not None:
        task = asyncio.ensure_future(_contained(tool, arguments))
        task.add_done_callback(_look)
        return await _within(timeout, tool, task)
    assert tool.func is not None
    work = threads.start(step_key, tool.func, arguments)
    try:
        # Waiting for a free thread is not the tool's time; waiting for ever would be the server's.
        await asyncio.wait([work.started], timeout=timeout)
        if not work.started.done():
            return _failed(
                "NoFreeThread", f"no thread was free for {tool.name}", True, called=False
            )
        outcome = await _within(timeout, tool, work.result)
    finally:
        work.abandon()
    if outcome.status == "timeout" and work.running:
        return Outcome("timeout", failure=outcome.failure, thread_running=True)
    return outcome


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


async def _within(timeout: float, tool: Tool, work: asyncio.Future[Any]) -> Outcome:
    """How the work ended, or that its time was up; it is told to stop, and left if it does not."""
    try:
        await asyncio.wait([work], timeout=timeout)
        in_time = work.done()
    finally:
        if not work.done():  # the time is up, or the caller was cancelled
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
    return Outcome("timeout", failure=failure, thread_running=not work.done())


def _arguments(tool: Tool, value: Mapping[str, Any], call: ToolCall) -> dict[str, Any]:
    # A copy: what a tool does to its arguments must not change the record of the attempt.
    model = tool.schema_model.model_validate(copy.deepcopy(value))
    arguments = {name: getattr(model, name) for name in tool.schema_model.model_fields}
    if tool.call_parameter is not None:
        arguments[tool.call_parameter] = call
    return arguments


def _explain(tool: Tool, invalid: ValidationError) -> str:
    parts = [
        f"{'.'.join(map(str, error['loc'])) or 'input'}: {error['msg']}"
        for error in invalid.errors(include_url=False, include_context=False)
    ]
    return f"{tool.name} cannot take this input: {'; '.join(parts)}"


def _failed(kind: str, message: object, retryable: bool = False, *, called: bool = True) -> Outcome:
    return Outcome("error", failure=Failure(kind, _text(message), retryable), called=called)


def _details(error: BaseException | None, errors: ToolErrors) -> str:
    """What to say of an exception beside its type: its text, in one printable line."""
    if errors == "type":
        return "; the server's log has the details"
    lines = filter(None, map(str.strip, _text(error).splitlines()))
    said = " ".join(lines)
    if not said.isprintable():
        said = "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in said)
    return said and f": {said}"


def _text(message: object) -> str:
    """A message as it can be kept: text of bounded length, whatever a tool has put into it."""
    try:
        text = message if isinstance(message, str) else str(message)
    except Exception:
        text = f"(a message of type {type(message).__name__} that cannot be shown)"
    whole = text.encode("utf-8", "replace").decode("utf-8")
    return whole if len(whole) <= MAX_MESSAGE else f"{whole[:MAX_MESSAGE]}…"
