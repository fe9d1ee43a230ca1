"""The embedded executor: a queue of run ids and a fixed number of slots in one event loop."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass

logger = logging.getLogger("runwright.executor")


#: How long a cancelled run may take to end before it is left behind, in seconds.
CANCEL_GRACE = 2.0


class QueueFull(Exception):
    """No further run is accepted now; `retry_after` is in seconds."""

    def __init__(self, queued: int, retry_after: float) -> None:
        super().__init__(f"{queued} runs are waiting already")
        self.queued = queued
        self.retry_after = retry_after


@dataclass
class _Execution:
    """One run being executed; a run that sits out a backoff holds no slot."""

    task: asyncio.Task[None]
    holds_slot: bool = True


_current: ContextVar[_Execution] = ContextVar("current_execution")


class Executor:
    """Executes runs, at most `slots` at once, first come first served.

    A run that waits for its next attempt gives its slot away and gets the next free one back
    before runs that have not begun.
    """

    def __init__(self, *, slots: int, max_queued: int) -> None:
        self._execute: Callable[[str], Awaitable[None]] | None = None
        self._slots = self._free = slots
        self._max_queued = max_queued
        self._queue: deque[str] = deque()
        self._returning: deque[tuple[_Execution, asyncio.Future[None]]] = deque()
        self._executions: dict[str, _Execution] = {}
        self._stopping = False

    def start(self, execute: Callable[[str], Awaitable[None]]) -> None:
        """Begin with whatever was enqueued so far; `execute` drives one run by its id."""
        self._execute = execute
        self._dispatch()

    def check_room(self) -> None:
        """Raise `QueueFull` when no more runs may wait, for their beginning or in a backoff."""
        waiting = len(self._queue) + len(self._executions) - (self._slots - self._free)
        if waiting >= self._max_queued:
            raise QueueFull(waiting, retry_after=1.0)

    def enqueue(self, run_id: str) -> None:
        """Execute a run as soon as a slot is free. A run that is here already is not added."""
        if run_id in self._executions or run_id in self._queue:
            return
        self._queue.append(run_id)
        self._dispatch()

    def position(self, run_id: str) -> int | None:
        """How many runs are before this one in the queue, plus one; None when it is not queued."""
        try:
            return self._queue.index(run_id) + 1
        except ValueError:
            return None

    async def wait_until(self, moment: float) -> None:
        """Sit out a backoff until an epoch second, without a slot when called within a run."""
        execution = _current.get(None)
        if execution is None:
            await asyncio.sleep(max(0.0, moment - time.time()))
            return
        self._give_back(execution)
        if self._stopping:
            # Cancelled as a whole: a cancellation that only this node raises is a failure of it.
            execution.task.cancel()
        await asyncio.sleep(max(0.0, moment - time.time()))
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._returning.append((execution, turn))
        self._dispatch()
        await turn

    async def stop(self, grace: float) -> None:
        """Begin nothing more; give what is executing `grace` seconds, then cancel it.

        Runs in a backoff are cancelled at once: they have nothing in flight.
        """
        self._stopping = True
        self._queue.clear()
        executions = list(self._executions.values())
        for execution in executions:
            if not execution.holds_slot:
                execution.task.cancel()
        tasks = [execution.task for execution in executions]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=CANCEL_GRACE)

    def _dispatch(self) -> None:
        while self._execute and self._free and not self._stopping:
            if self._returning:
                execution, turn = self._returning.popleft()
                if turn.done():  # its run was cancelled meanwhile
                    continue
                # From here on the slot is its own, also if it is cancelled before it wakes.
                execution.holds_slot = True
                turn.set_result(None)
            elif self._queue:
                self._begin(self._queue.popleft())
            else:
                return
            self._free -= 1

    def _begin(self, run_id: str) -> None:
        task = asyncio.get_running_loop().create_task(self._run(run_id), name=f"run {run_id}")
        self._executions[run_id] = _Execution(task)

    async def _run(self, run_id: str) -> None:
        assert self._execute is not None
        execution = self._executions[run_id]
        _current.set(execution)
        try:
            await self._execute(run_id)
        except Exception:  # a run that cannot even be settled must not take the others with it
            logger.exception("run could not be settled", extra={"run_id": run_id})
        finally:
            del self._executions[run_id]
            self._give_back(execution)

    def _give_back(self, execution: _Execution) -> None:
        if execution.holds_slot:
            execution.holds_slot = False
            self._free += 1
            self._dispatch()
