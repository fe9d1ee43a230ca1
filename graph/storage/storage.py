"""Where runs are kept, as every backend gives it: checkpointer, store, run index and spending.

The checkpoint is the run. A row holds the request until there is a first checkpoint, and afterwards
what a list shows; where the two differ, the checkpoint wins.
"""

import logging
import time
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.store.base import BaseStore

from graph.state import Learned, RunState, Status
from graph.state.row import (
    NO_QUOTA,
    Accepted,
    ApprovalAnswer,
    DoubtAnswer,
    IdempotencyKey,
    Kept,
    KeyedRun,
    Quota,
    RetryCommand,
    RunArtifacts,
    RunRow,
)
from graph.state.run import NO_FACTS, Facts
from graph.storage.fleet import Fleet, Tenure
from graph.storage.records import Audit, Outbox, ThreadIndex
from graph.storage.search import Found, Search
from nodes.planning.model import Call, Cost


class StorageError(Exception):
    """The database cannot be used; the message is one line that says what to do."""


class StorageUnavailable(Exception):
    """The storage cannot be read or written just now; the same call may succeed later.

    `damage` says what is to be done where it will not.
    """

    def __init__(self, damage: str | None = None) -> None:
        super().__init__(f"the storage is {damage}" if damage else "the storage does not answer")
        self.damage = damage


logger = logging.getLogger("runwright.storage")

#: How often the same fault of a storage is logged, however often it is met, in seconds.
TOLD_EVERY = 60.0


class StorageFaults:
    """What a storage fails at: logged once a minute, and kept where no further try mends it.

    `damage` is what is to be done then about what is `damaged`. Threads of the backend may tell;
    `clock` in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.damage: str | None = None
        self.damaged: str | None = None
        self._clock = clock
        #: By its words: when a fault was logged last, and how often it was met since.
        self._logged: dict[str, tuple[float, int]] = {}

    def tell(self, error: Exception) -> None:
        """Log what the storage raised, unless that was done within a minute."""
        words = str(error) or type(error).__name__
        now = self._clock()
        last, met = self._logged.get(words, (-TOLD_EVERY, 0))
        if now - last < TOLD_EVERY:
            self._logged[words] = last, met + 1
            return
        recent = {one: met for one, met in self._logged.items() if now - met[0] < TOLD_EVERY}
        self._logged = recent | {words: (now, 0)}
        more = f" (and {met} times more since it was told last)" if met else ""
        logger.warning("storage does not answer: %s%s", words, more)

    def note_damage(self, damage: str, *, where: str) -> None:
        """Keep what is to be done about `where`, and log it, the first time."""
        if self.damage is None:
            self.damage, self.damaged = damage, where
            logger.error("storage is damaged: %s is %s", where, damage)

    def explained(self, error: Exception) -> str:
        """What the storage raised, in one line that says what to do."""
        if self.damage is not None:
            return f"{self.damaged} is {self.damage}"
        return f"the storage does not answer: {error}; try again, or see to its disk and its rights"

    def refuse_damaged(self) -> None:
        """Raises `StorageUnavailable` where what is written may not be kept."""
        if self.damage is not None:
            raise StorageUnavailable(self.damage)


@dataclass(frozen=True)
class Unsettled:
    """How many runs have each status that is none of an end.

    `oldest` is when the first of those was accepted that wait for their beginning, epoch seconds.
    """

    counts: Mapping[Status, int]
    oldest: float | None = None


class RunIndex(Protocol):
    """What a backend keeps of runs beside their checkpoints."""

    async def accept(self, row: RunRow, quota: Quota = NO_QUOTA) -> Accepted | None:
        """Store an accepted request; it survives power loss when this returns.

        None where nothing was stored: where its owner keeps as much as `quota` allows, or where it
        is to be alone in its thread and is not. Raises `PostRefused` where `quota` counts posts and
        has had enough, and then counts none; what is refused otherwise is counted.
        """

    async def accept_once(
        self, row: RunRow, key: IdempotencyKey, quota: Quota = NO_QUOTA
    ) -> KeyedRun | None:
        """Store an accepted request with its key, both or neither; durable as with `accept`.

        The run that has the key from now on: this one, unless its owner has used it before. None
        where nothing is stored, as with `accept`.
        """

    async def kept(self, owner: str) -> Kept:
        """What is kept of an owner."""

    async def find_key(self, owner: str, name: str, *, at: float) -> KeyedRun | None:
        """The run that an owner's key stands for at this time, in epoch seconds, or None."""

    async def find(self, run_id: str) -> RunRow | None:
        """The row of a run, or None."""

    async def owned(self, run_id: str, owner: str | None) -> bool:
        """Whether there is this run, and it is the owner's; without one, of any owner."""

    async def forks(self, run_id: str) -> Sequence[str]:
        """The ids of the runs that were forked from this one, oldest first."""

    async def search(self, owner: str, search: Search) -> Found:
        """The runs of an owner that match, a page of them."""

    async def unsettled(self) -> Sequence[RunRow]:
        """Every run that is not settled, in the order of acceptance."""

    async def count_unsettled(self) -> Unsettled:
        """How many runs of all owners are not settled."""

    async def project(
        self,
        run_id: str,
        status: Status,
        *,
        started_at: float | None,
        completed_at: float | None,
        facts: Facts = NO_FACTS,
        generation: int | None = None,
    ) -> bool:
        """Take over a run's status and facts where the table allows the change; whether it did.

        With `generation` only while the run was retried so many times, and no more.
        """

    async def request_cancel(self, run_id: str, *, at: float, by: str) -> bool:
        """Mark a run that is not settled as to be cancelled, unless it is; whether it is marked."""

    async def decide(
        self, run_id: str, approval_answer: ApprovalAnswer, *, generation: int = 0
    ) -> bool:
        """Store what was decided about a run's plan; whether it was the first thing said about it.

        About a later round it counts for the question that it names only, in the run as it was
        retried so many times.
        A run that is settled, or marked as to be cancelled, has nothing to be decided.
        """

    async def resolve(self, run_id: str, answer: DoubtAnswer, *, generation: int) -> bool:
        """Store what was decided about a step in doubt; whether it was the first thing said.

        It counts for the question that it names only, in the run as it was retried so many times.
        A run that is settled, or marked as to be cancelled, has nothing to be decided.
        """

    async def note_learned(self, run_id: str, learned: Learned) -> None:
        """Remember how a call ended that a run had left to itself."""

    async def forget_approval_answer(self, run_id: str) -> None:
        """Let it be decided again about a run's plan."""

    async def note_expiry(self, run_id: str, at: float, question: int | None = None) -> None:
        """Remember until when it may be decided about a run's plan, in epoch seconds.

        With the number of a `question` about a step in doubt: an answer to an earlier question is
        forgotten with that.
        """

    async def expired(self, now: float, limit: int) -> Sequence[str]:
        """The ids of waiting runs about which it may no longer be decided, the earliest first."""

    async def request_retry(
        self, run_id: str, command: RetryCommand, *, alone: RunRow | None = None
    ) -> bool:
        """Make a settled run one that is to go on, as if it had just been accepted.

        Whether it is: of several commands with one generation, the first counts. With its row in
        `alone` it is while every other run of its thread has ended.
        """

    async def note_start(self, run_id: str, *, starts: int, checkpoint_id: str | None) -> None:
        """Remember how often in a row a run was started with this latest checkpoint.

        A start is one that resumes the run.
        """

    async def settled_before(
        self, moment: float, *, after: RunRow | None, limit: int
    ) -> Sequence[RunRow]:
        """The runs settled before an epoch second, the first first, from beyond `after` on."""

    async def settled_last(self, seconds: float, *, limit: int) -> Sequence[RunRow]:
        """The runs settled within so many seconds before the last that was, the last one first."""


class DeleteRuns(Protocol):
    """Removes settled runs in one transaction."""

    async def __call__(
        self, runs: Sequence[RunArtifacts], thread_id: str | None = None, *, by: str = "server"
    ) -> int:
        """How many were removed. One that is not settled, was retried since, or is gone, is left.

        It is written down `by` whom each was.
        With a thread all of its runs, or none unless these are all that it has, and settled.
        """


#: Raises the backend's error when something that runs need cannot be read or written now. What was
#: submitted before is written when it returns.
Check = Callable[[], Awaitable[None]]

#: Gives the room that removed runs have left back to the disk, where that is worth it; how many
#: bytes. Raises the backend's error.
GiveBack = Callable[[], Awaitable[int]]


async def _nothing() -> int:
    return 0


@dataclass(frozen=True)
class Spent:
    """What the calls of one day cost together; `usd` is None once a price is not known."""

    usd: float | None = 0.0
    tokens: int = 0
    calls: int = 0


class Spending(Protocol):
    """What a backend keeps of it: sums by owner and day, which outlast the runs they came from."""

    async def of(self, owner: str, day: str) -> Spent:
        """What an owner has spent on a day, as `2026-11-22`."""

    async def held(self, owner: str, day: str) -> Spent:
        """What is set aside for calls of an owner on a day."""

    async def hold(
        self, call: Call, day: str, cost: Cost, *, usd: float | None, tokens: int | None
    ) -> bool:
        """Set aside, durably, what a call may cost until `add` or `release` comes.

        Where neither does, since the process was killed, it is counted when the storage is opened.
        False, and nothing is set aside, where the owner would have more than `usd` or `tokens`
        spent and set aside on that day by all processes together; None is no limit.
        """

    async def release(self, call: Call) -> None:
        """The call has ended and costs nothing."""

    async def count_left(self, of_run: str | None = None) -> None:
        """Count, with all that they may have cost, the calls that a killed process has left.

        Those of one run where others are executed elsewhere.
        """

    async def add(self, call: Call, day: str, cost: Cost) -> bool:
        """Count a call, durably; False where it was counted before.

        Of a run that is kept, the call that was counted last is known again by its key.
        """


@dataclass(kw_only=True)
class Follower:
    """Who follows what is stored of a run while it is executed.

    `log` is its log, and `status` the status that its row has, as last stored. `tell` is called
    with each state once that is stored, and whether its row was changed with it; what the run does
    next waits for it.
    """

    log: list[Any]
    status: Status
    tell: Callable[[RunState, bool], Awaitable[None]]


class RunSaver(BaseCheckpointSaver[str]):
    """A checkpointer that stores with each checkpoint of a run what its row is to say of it."""

    @abstractmethod
    def follow(
        self, run_id: str, follower: Follower, begins: Mapping[str, Any] | None = None
    ) -> AbstractContextManager[Mapping[str, Any] | None]:
        """Let somebody follow a run for as long as the context lasts; what the graph is then given.

        A new one `begins` with an input. It has no checkpoint, so that none is looked for; its row
        holds the input, so that this is not stored again: its first checkpoint is that of the first
        node. The graph is given nothing where the one before that is known without it.
        """


@dataclass(frozen=True)
class Storage:
    """One opened backend. `reader` answers reads without queueing behind the writer.

    `errors` are what the backend raises when it cannot be reached or written just now. `faults` is
    told of what it raised. `sizes` are the bytes of its files, by what they hold. `fleet` is there
    where other processes execute its runs as well, `tenure` where none does and it may crash alone.
    """

    backend: str
    saver: RunSaver
    reader: BaseCheckpointSaver[str]
    store: BaseStore
    index: RunIndex
    threads: ThreadIndex
    spending: Spending
    remove: DeleteRuns
    errors: tuple[type[Exception], ...]
    faults: StorageFaults = field(default_factory=StorageFaults)
    give_back: GiveBack = _nothing
    outbox: Outbox = field(kw_only=True)
    audit: Audit = field(kw_only=True)
    check: Check = field(kw_only=True)
    sizes: Callable[[], Mapping[str, int]] = dict
    fleet: Fleet | None = None
    tenure: Tenure | None = None

    @contextmanager
    def available(self) -> Iterator[None]:
        """What the storage raises inside becomes `StorageUnavailable`, and is logged."""
        try:
            yield
        except self.errors as error:
            self.faults.tell(error)
            raise StorageUnavailable(self.faults.damage) from error


def strict_serializer() -> JsonPlusSerializer:
    """A serializer that rebuilds no classes but LangGraph's own."""
    return JsonPlusSerializer(allowed_msgpack_modules=())
