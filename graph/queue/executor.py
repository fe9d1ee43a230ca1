"""The embedded executor: a queue of run ids and a fixed number of slots in one event loop."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from graph.queue.fair import FairQueue, Throughput
from nodes.contract.steps import sleep_until

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
    holds_slot: bool
    begun: bool = False
    backoff: asyncio.Event | None = None  # set to end it


_current: ContextVar[_Execution] = ContextVar("current_execution")


class Executor:
    """Executes runs, at most `slots` at once, in turns between owners.

    A run that waits for its next attempt gives its slot away and gets the next free one back
    before runs that have not begun.
    """

    def __init__(self, *, slots: int, max_queued: int) -> None:
        self._execute: Callable[[str], Awaitable[None]] | None = None
        self._slots = self._free = slots
        self._max_queued = max_queued
        self._queue = FairQueue()
        self._throughput = Throughput()
        self._places = 0
        self._returning: deque[tuple[_Execution, asyncio.Future[None]]] = deque()
        self._executions: dict[str, _Execution] = {}
        self._stopping = False

    def start(self, execute: Callable[[str], Awaitable[None]]) -> None:
        """Begin with whatever was enqueued so far; `execute` drives one run by its id."""
        self._execute = execute
        self._dispatch()

    @contextmanager
    def place(self) -> Iterator[None]:
        """Keep a place in the queue for a run while it is being accepted.

        Raises `QueueFull` when no more runs may wait, for their beginning or in a backoff.
        """
        executing = self._slots - self._free
        waiting = len(self._queue) + len(self._executions) - executing + self._places
        if waiting >= self._max_queued + self._free:
            # When a tenth of them has ended, there is room for more than the first who asks.
            raise QueueFull(waiting, retry_after=self._throughput.time_for(waiting / 10))
        self._places += 1
        try:
            yield
        finally:
            self._places -= 1

    def enqueue(self, run_id: str, owner: str) -> None:
        """Execute a run as soon as a slot is free. A run that is here already is not added."""
        if run_id in self._executions or run_id in self._queue:
            return
        self._queue.append(run_id, owner)
        self._dispatch()

    def position(self, run_id: str) -> int | None:
        """The place of the run in the queue, counted from 1; None when it is not queued."""
        return self._queue.position(run_id)

    def holds_slot(self, run_id: str) -> bool:
        """Whether the run is executing, neither queued nor in a backoff."""
        execution = self._executions.get(run_id)
        return execution is not None and execution.holds_slot

    def execution(self, run_id: str) -> asyncio.Task[None] | None:
        """The execution of a run, if there is one, also without a slot."""
        execution = self._executions.get(run_id)
        return None if execution is None else execution.task

    def interrupt(self, run_id: str) -> asyncio.Task[None]:
        """Cancel the execution of a run, or begin one at once, without a slot, where there is none.

        Its `execute` sees the cancellation or the beginning, and decides what it means.
        """
        execution = self._executions.get(run_id)
        if execution is not None:
            if execution.begun:  # a task that is cancelled before it begins never does, nor ends
                execution.task.cancel()
            return execution.task
        self._queue.remove(run_id)
        return self._begin(run_id, holds_slot=False)

    async def wait_until(self, moment: float) -> float:
        """Sit out a backoff until an epoch second, without a slot when called within a run.

        Returns how long it then waited for a slot, in seconds.
        """
        execution = _current.get(None)
        if execution is None:
            return await sleep_until(moment)
        self._give_back(execution)
        if self._stopping:
            # Cancelled as a whole: a cancellation that only this node raises is a failure of it.
            execution.task.cancel()
        await self._sit_out(execution, moment)
        slot: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._returning.append((execution, slot))
        self._dispatch()
        due = time.monotonic()
        await slot
        return time.monotonic() - due

    async def _sit_out(self, execution: _Execution, moment: float) -> None:
        execution.backoff = asyncio.Event()
        waits = {
            asyncio.ensure_future(sleep_until(moment)),
            asyncio.ensure_future(execution.backoff.wait()),
        }
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            execution.backoff = None
            for wait in waits:
                wait.cancel()

    def hurry(self, run_id: str) -> bool:
        """End the backoff of a run at once; whether it was in one."""
        execution = self._executions.get(run_id)
        if execution is None or execution.backoff is None:
            return False
        execution.backoff.set()
        return True

    async def ended(self, run_id: str, *, timeout: float) -> bool:
        """Wait for the end of a run's execution, which begins at once if it is queued.

        Whether it ended within `timeout` seconds; also when there was none.
        """
        if run_id not in self._executions and run_id not in self._queue:
            return True
        execution = self._executions.get(run_id)
        task = execution.task if execution else self.interrupt(run_id)
        done, _ = await asyncio.wait([task], timeout=timeout)
        return bool(done)

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
                execution, slot = self._returning.popleft()
                if slot.done():  # its run was cancelled meanwhile
                    continue
                # From here on the slot is its own, also if it is cancelled before it wakes.
                execution.holds_slot = True
                slot.set_result(None)
            elif self._queue:
                self._begin(self._queue.popleft(), holds_slot=True)
            else:
                return
            self._free -= 1

    def _begin(self, run_id: str, *, holds_slot: bool) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._run(run_id), name=f"run {run_id}")
        self._executions[run_id] = _Execution(task, holds_slot)
        return task

    async def _run(self, run_id: str) -> None:
        assert self._execute is not None
        execution = self._executions[run_id]
        execution.begun = True
        _current.set(execution)
        try:
            await self._execute(run_id)
        except Exception:  # a run that cannot even be settled must not take the others with it
            logger.exception("run could not be settled", extra={"run_id": run_id})
        finally:
            del self._executions[run_id]
            self._throughput.note_end()
            self._give_back(execution)

    def _give_back(self, execution: _Execution) -> None:
        if execution.holds_slot:
            execution.holds_slot = False
            self._free += 1
            self._dispatch()
