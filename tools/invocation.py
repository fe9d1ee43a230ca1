"""One call of one tool: its input checked, its time bounded, its failure described."""

import asyncio
import copy
import logging
import sqlite3
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from tools.registry import Tool, ToolCall, ToolError
from tools.threads import ToolThreads

logger = logging.getLogger("runwright.tools")

#: Failures of the world around a tool that may be gone at the next attempt.
TRANSIENT = (TimeoutError, ConnectionError, sqlite3.OperationalError)


@dataclass(frozen=True)
class Failure:
    """Why a call failed; `retryable` says whether another attempt may succeed."""

    type: str
    message: str
    retryable: bool


@dataclass(frozen=True)
class Outcome:
    """How one call ended. `thread_running`: a blocking tool was left behind and may still act."""

    status: Literal["ok", "error", "timeout"]
    output: Any = None
    failure: Failure | None = None
    thread_running: bool = False


async def invoke(
    tool: Tool, value: Mapping[str, Any], call: ToolCall, *, timeout: float, threads: ToolThreads
) -> Outcome:
    """Call `tool` with `value`, for at most `timeout` seconds.

    The caller's cancellation passes through; everything else, the tool's own bugs too, becomes
    the outcome.
    """
    try:
        arguments = _arguments(tool, value, call)
    except ValidationError as invalid:
        return _failed("InvalidInput", _explain(tool, invalid))
    try:
        return await _run(tool, arguments, call.step_key, timeout, threads)
    except ToolError as error:
        return _failed("ToolError", error.message, retryable=error.retryable)
    except TRANSIENT as error:
        return _failed(type(error).__name__, f"{tool.name} could not reach what it needs", True)
    except (Exception, asyncio.CancelledError, SystemExit) as error:
        if isinstance(error, asyncio.CancelledError) and _is_cancelled():
            raise
        logger.exception("tool %s broke", tool.name, extra={"step_key": call.step_key})
        return _failed(
            type(error).__name__,
            f"{tool.name} broke with {type(error).__name__}; the server's log has the details",
        )


async def _run(
    tool: Tool, arguments: dict[str, Any], step_key: str, timeout: float, threads: ToolThreads
) -> Outcome:
    if tool.coroutine is not None:
        return await _within(timeout, tool, tool.coroutine(**arguments))
    assert tool.func is not None
    work = threads.start(step_key, tool.func, arguments)
    try:
        await work.started  # waiting for a free thread is not the tool's time
        outcome = await _within(timeout, tool, work.result)
    finally:
        work.abandon()
    if outcome.status == "timeout" and work.running:
        return Outcome("timeout", failure=outcome.failure, thread_running=True)
    return outcome


async def _within(timeout: float, tool: Tool, work: Awaitable[Any]) -> Outcome:
    clock = asyncio.timeout(timeout)
    try:
        async with clock:
            return Outcome("ok", output=await work)
    except TimeoutError:
        if not clock.expired():  # the tool's own
            raise
        message = f"{tool.name} took longer than {timeout:g} s"
        return Outcome("timeout", failure=Failure("Timeout", message, retryable=True))


def _arguments(tool: Tool, value: Mapping[str, Any], call: ToolCall) -> dict[str, Any]:
    # A copy: what a tool does to its arguments must not change the record of the attempt.
    model = tool.schema_model.model_validate(copy.deepcopy(value))
    arguments = {name: getattr(model, name) for name in tool.schema_model.model_fields}
    if tool.call_parameter is not None:
        arguments[tool.call_parameter] = call
    return arguments


def _is_cancelled() -> bool:
    """Whether somebody cancelled this task; a tool may also let out a cancellation of its own."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _explain(tool: Tool, invalid: ValidationError) -> str:
    parts = [
        f"{'.'.join(map(str, error['loc'])) or 'input'}: {error['msg']}"
        for error in invalid.errors(include_url=False, include_context=False)
    ]
    return f"{tool.name} cannot take this input: {'; '.join(parts)}"


def _failed(kind: str, message: str, retryable: bool = False) -> Outcome:
    return Outcome("error", failure=Failure(kind, message, retryable))
