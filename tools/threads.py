"""Threads for blocking tools: capped, and never waited for, since a thread cannot be killed."""

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")

#: Is told, in the event loop, what a call has returned or raised that was left to itself.
Late = Callable[[Any, BaseException | None], None]


class ThreadCall(Generic[T]):
    """One call of a blocking function, as the event loop that made it sees it.

    `started` is done when a thread has begun with it, `result` when it has returned or raised.
    `running` says whether a thread is in it now, also after `abandon`.
    """

    def __init__(self, pool: "ToolThreads", key: str, function: Callable[[], T]) -> None:
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self.key = key
        self.function = function
        self.running = False
        self.started: asyncio.Future[None] = self._loop.create_future()
        self.result: asyncio.Future[T] = self._loop.create_future()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._end: tuple[T | None, BaseException | None] | None = None
        self._late: Late | None = None

    def leave(self, late: "Late") -> None:
        """Be told how it ends although nobody waits for its result any more."""
        if self._end is None:
            self._late = late
        else:
            late(*self._end)

    def abandon(self) -> None:
        """Give up on the result; a call that no thread has begun with is never begun."""
        self._pool.withdraw(self)
        self.started.cancel()
        if not self.result.cancel() and not self.result.cancelled():
            self.result.exception()  # retrieved, so that nobody is told it was missed

    def tell_started(self) -> None:
        """From the thread: it has begun."""
        self._tell(_settle, self.started, None)

    def tell_ended(self, value: T | None, error: BaseException | None) -> None:
        """From the thread: it has returned `value` or raised `error`."""
        if error is None:
            self._tell(_settle, self.result, value)
        else:
            self._tell(_fail, self.result, _presentable(error))
        self._tell(_settle, self.ended, None)
        self._tell(self._note_end, value, error)

    def _note_end(self, value: T | None, error: BaseException | None) -> None:
        self._end = value, error
        if self._late is not None:
            self._late(value, error)

    def _tell(self, settle: Callable[..., None], future: Any, what: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(settle, future, what)
        except RuntimeError:
            # The loop is closed: the program is ending and nobody is left to be told.
            return


class ToolThreads:
    """At most `limit` daemon threads, started when needed; one that hangs keeps its place.

    Not `concurrent.futures`: its threads are joined at exit, so one hung tool would keep the
    program from ending.
    """

    def __init__(self, limit: int = 32) -> None:
        self._limit = limit
        self._threads = 0
        self._idle = 0
        self._waiting: deque[ThreadCall[Any]] = deque()
        self._running: dict[str, set[ThreadCall[Any]]] = {}
        self._changed = threading.Condition()

    def start(
        self, key: str, function: Callable[..., T], arguments: Mapping[str, Any]
    ) -> ThreadCall[T]:
        """Call `function(**arguments)` in the first free thread, with the caller's context.

        Await `started`, then `result`, and `abandon` the call whatever comes.
        """
        context = contextvars.copy_context()
        call = ThreadCall(self, key, partial(context.run, partial(function, **arguments)))
        with self._changed:
            if self._idle <= len(self._waiting) and self._threads < self._limit:
                threading.Thread(target=self._serve, name="tool", daemon=True).start()
                self._threads += 1
            self._waiting.append(call)
            self._changed.notify()
        return call

    def running(self, key: str) -> bool:
        """Whether a thread is still in a call of this key, abandoned or not."""
        with self._changed:
            return key in self._running

    async def wait_ended(self, key: str) -> None:
        """Wait until the calls of this key that threads are in now have ended."""
        with self._changed:
            ends = [call.ended for call in self._running.get(key, ())]
        if ends:
            await asyncio.wait(ends)

    def withdraw(self, call: ThreadCall[Any]) -> None:
        """Take a call that no thread has begun with out of the queue."""
        with self._changed:
            if call in self._waiting:
                self._waiting.remove(call)

    def _serve(self) -> None:
        while True:
            self._serve_one(self._next())

    def _next(self) -> ThreadCall[Any]:
        with self._changed:
            while not self._waiting:
                self._idle += 1
                self._changed.wait()
                self._idle -= 1
            call = self._waiting.popleft()
            call.running = True
            self._running.setdefault(call.key, set()).add(call)
            return call

    def _serve_one(self, call: ThreadCall[Any]) -> None:
        call.tell_started()
        value, error = _outcome(call.function)
        with self._changed:
            call.running = False
            calls = self._running[call.key]
            calls.discard(call)
            if not calls:
                del self._running[call.key]
        call.tell_ended(value, error)


def _outcome(function: Callable[[], T]) -> tuple[T | None, BaseException | None]:
    try:
        return function(), None
    except BaseException as error:
        return None, error


def _settle(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _presentable(error: BaseException) -> Exception:
    # SystemExit and its like would end the server, StopIteration cannot travel in a future.
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    wrapped = RuntimeError(f"the tool raised {type(error).__name__}")
    wrapped.__cause__ = error
    return wrapped


# Calls that wait until they are let in, and those that are left to themselves.


def forget(value: Any, error: BaseException | None) -> None:
    """Nobody wants to know."""


def entered(gate: Future[None], function: Callable[..., Any], **arguments: Any) -> Any:
    """Call the function once the gate is opened, in a thread that waits for it."""
    gate.result()
    return function(**arguments)


def tell_of_end(task: asyncio.Future[Any], late: Late) -> None:
    """Let `late` be told how a coroutine ends that was told to stop, unless it did."""

    def tell(ended: asyncio.Future[Any]) -> None:
        if not ended.cancelled():
            error = ended.exception()
            late(None if error else ended.result(), error)

    task.add_done_callback(tell)
