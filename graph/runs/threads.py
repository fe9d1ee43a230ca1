"""In which order runs begin: those of a thread, and those that an earlier process left.

Runs of one thread are executed one after the other, and each is given what went before it. The
table of runs decides which of them is next; kept here is only who waits in this process. Of those
that an earlier process left few continue at once, and one that may have ended it continues alone.
"""

import asyncio
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from graph.queue.executor import Executor
from graph.runs.live import LiveRun, LiveRuns
from graph.state import (
    NOTHING_BEFORE,
    THREAD_CONTEXT,
    TURN,
    Conversation,
    RunState,
    Status,
    Turn,
    conversation_of,
    referent_of,
    turn_of,
)
from graph.state.row import RunRow
from graph.storage.records import Earlier
from graph.storage.storage import Storage
from nodes.contract.steps import WithoutSlot


class ThreadNotFound(Exception):
    """The owner has no thread with this id, or name."""

    def __init__(self, thread_id: str) -> None:
        super().__init__(f"there is no thread {thread_id}")
        self.thread_id = thread_id


class ThreadBusy(Exception):
    """The thread is at the run `run_id`, and what came was to be alone in it."""

    def __init__(self, run_id: str, status: Status) -> None:
        super().__init__(f"run {run_id} of the thread is {status}")
        self.run_id = run_id
        self.status = status


def normal_name(name: str) -> str:
    """What a thread of this name is found by."""
    return unicodedata.normalize("NFC", name)


#: The first and longest wait between two tries to ask which run is next, in seconds.
PAUSE, LONGEST_PAUSE = 0.5, 30.0

#: Reads the last checkpoint of a run; None where it has none, or is gone. Raises what the storage
#: raises.
Read = Callable[[str], Awaitable[RunState | None]]


class ThreadQueues:
    """Queues runs once their threads are free.

    A thread is at one run: at that which has begun and not ended, else at the earliest that has
    not begun. No other of its runs begins before that has ended, so that one which waits for a
    person, or is retried, makes all of them wait, without a slot or a place in the queue.
    """

    def __init__(self, storage: Storage, executor: Executor) -> None:
        self._storage = storage
        self._executor = executor
        self._waiting: dict[str, dict[str, LiveRun]] = {}
        self._waking: set[asyncio.Task[None]] = set()
        #: Who may begin, or has, by thread: until there is a checkpoint, the table does not tell.
        self._at: dict[str, LiveRun] = {}

    async def joined(self, row: RunRow) -> str | None:
        """The thread that an accepted run has found by its name; None where it has begun it.

        It is stored, so that it is asked for until the storage answers: nobody else would queue it.
        """
        pause = PAUSE
        while True:
            try:
                found = await self._storage.threads.of_run(row.run_id)
                return None if found == row.run_id else found
            except self._storage.errors as error:
                self._storage.faults.tell(error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def enqueue(self, live: LiveRun, owner: str, thread_id: str) -> None:
        """Execute a run as soon as its thread and the queue let it; what it is to do is stored."""
        self.park(live, owner, thread_id)  # first, so that what ends meanwhile finds it waiting
        try:
            await self._begin_next(thread_id)
        except self._storage.errors as error:
            self._storage.faults.tell(error)
            self.pass_on(thread_id)

    def park(self, live: LiveRun, owner: str, thread_id: str) -> None:
        """The same for a run that is known to have another before it."""
        live.thread_id = thread_id
        self._waiting.setdefault(thread_id, {})[live.run_id] = live
        self._executor.park(live, owner)

    def enqueue_head(self, live: LiveRun, row: RunRow) -> None:
        """The same for a run that is known to have none."""
        self.begin(live, row.thread)
        self._executor.enqueue(live, row.owner)

    def begin(self, live: LiveRun, thread_id: str) -> None:
        """Let no other of the thread begin before this one is passed on from."""
        live.thread_id = thread_id
        self._at[thread_id] = live

    def is_free(self, thread_id: str) -> bool:
        """Whether none of a thread has begun here, or is about to."""
        return thread_id not in self._at

    def end(self, live: LiveRun) -> None:
        """A run is driven no further now."""
        if self._at.get(live.thread_id) is live:
            del self._at[live.thread_id]
        self.pass_on(live.thread_id)

    def pass_on(self, thread_id: str) -> None:
        """See which run of a thread is next."""
        if thread_id in self._waiting:
            waking = asyncio.create_task(self._wake(thread_id))
            self._waking.add(waking)
            waking.add_done_callback(self._waking.discard)

    async def close(self) -> None:
        """Let no further run begin."""
        self._waiting.clear()
        for waking in self._waking:
            waking.cancel()
        if self._waking:
            await asyncio.wait(self._waking)

    async def _wake(self, thread_id: str) -> None:
        pause = PAUSE
        while thread_id in self._waiting:
            try:
                await self._begin_next(thread_id)
                break
            except self._storage.errors as error:
                self._storage.faults.tell(error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _begin_next(self, thread_id: str) -> None:
        """Queue the run that the thread is at, if it waits here. Raises what the storage raises."""
        head = await self._storage.threads.head(thread_id)
        waiting = self._waiting.get(thread_id, {})
        for run_id, live in [*waiting.items()]:
            if live not in self._executor.parked:  # it was cancelled, and waits no more
                del waiting[run_id]
        if head and head.run_id in waiting and thread_id not in self._at:
            due = waiting.pop(head.run_id)
            self.begin(due, thread_id)
            self._executor.enqueue(due, due.owner)
        if not waiting:
            self._waiting.pop(thread_id, None)


class Conversations:
    """What runs are given of their threads; `read` reads the runs before them."""

    def __init__(self, storage: Storage, read: Read, characters: int = THREAD_CONTEXT) -> None:
        self._threads = storage.threads
        self._read = read
        self._characters = characters

    async def placed(self, row: RunRow, state: RunState) -> RunState:
        """The state of a run that begins, with what went before it in its thread.

        It is the same whenever it is asked for: the runs before have ended. A state that has its
        conversation keeps it. Raises what the storage raises.
        """
        if row.thread_id is None or "conversation" in state:
            return state
        conversation = await self._before(row.run_id, row.thread_id)
        return {**state, "conversation": conversation} if conversation else state

    async def _before(self, run_id: str, thread_id: str) -> Conversation | None:
        earlier, total = await self._threads.earlier(run_id, limit=self._characters // TURN + 1)
        newest = await self._read(earlier[0].run_id) if earlier else None
        if newest is None:
            return None
        shown = newest.get("conversation", NOTHING_BEFORE)
        known = {turn["run_id"]: turn for turn in shown["turns"]}
        turns = await self._turns_of(earlier, newest, known)
        # It was shown more than there is now where runs were removed, or a fork brought some along.
        if len(known) + shown["left_out"] >= total:
            first = await self._read(thread_id)
            if first and first.get("forked_from"):
                brought = first.get("conversation", NOTHING_BEFORE)
                if total == len(turns):  # there may be room for them
                    turns += brought["turns"][::-1]
                total += len(brought["turns"]) + brought["left_out"]
        last = referent_of(newest)
        return conversation_of(turns, last, characters=self._characters, total=total)

    async def _turns_of(
        self, earlier: Sequence[Earlier], newest: RunState, known: Mapping[str, Turn]
    ) -> list[Turn]:
        """The turns of these runs, newest first, as far as there is room for them.

        The newest of them has those of the others, as they were when it began; a run that has
        ended since, since it was retried, is read again.
        """
        began = newest["started_at"] if newest["generation"] == 0 else None
        since = began or newest["created_at"]
        turns: list[Turn] = []
        left = self._characters
        for one in earlier:
            turn = known.get(one.run_id)
            if turn is None or one.completed_at >= since:
                state = newest if one is earlier[0] else await self._read(one.run_id)
                if state is None:  # it was removed meanwhile
                    continue
                turn = turn_of(state, self._characters)
            turns.append(turn)
            left -= TURN + len(turn["prompt"]) + len(turn["text"])
            if left < 0:
                break
        return turns


# Those that an earlier process left.


#: So many continue at once until they have got further: if this process ends as well, the others
#: have not been started in vain.
AT_ONCE = 4

#: How long one that does not get further keeps the next from going on, in seconds; a quarantined
#: run keeps all others.
SLOT_SECONDS, QUARANTINE_SECONDS = 0.25, 2.0


class Quarantine:
    """Tells the run that ends its process from those that only were there.

    As long as a quarantined run gets no further nothing else is executed, so that it takes nobody
    with it, and an innocent one has the machine to itself.
    """

    def __init__(self, runs: LiveRuns) -> None:
        self._runs = runs
        self._alone = asyncio.Semaphore(1)
        self._some = asyncio.Semaphore(AT_ONCE)
        self._clear = asyncio.Event()
        self._clear.set()

    def quarantine(self, live: LiveRun) -> None:
        """Let this run go on alone, and the others after it."""
        live.quarantined = True
        self._clear.clear()

    def forget(self, live: LiveRun) -> None:
        """Let nobody wait for this run any more."""
        live.quarantined = False
        if not self._clear.is_set() and not any(one.quarantined for one in self._runs):
            self._clear.set()

    @asynccontextmanager
    async def slot(
        self, live: LiveRun, without_slot: WithoutSlot
    ) -> AsyncIterator[Callable[[], None]]:
        """Wait for a slot of the run; it calls what it is given here when it has got further.

        It waits `without_slot`, since those that are let go on before it may need all there are.
        """
        quarantined = live.quarantined
        slots = self._alone if quarantined else self._some
        over = True

        def end() -> None:
            nonlocal over
            if not over:
                over = True
                slots.release()
                self.forget(live)

        try:
            async with without_slot():
                if not quarantined:
                    await self._clear.wait()
                await slots.acquire()
                over = False
            seconds = QUARANTINE_SECONDS if quarantined else SLOT_SECONDS
            timer = asyncio.get_running_loop().call_later(seconds, end)
            try:
                yield end
            finally:
                timer.cancel()
        finally:
            end()
