"""What several processes over one database tell each other: who has which run, and what changed.

A run is executed by the process that has its job; that is the lease, and its number of attempts is
the token that a process keeps which was taken for dead. The lease is looked at within each
transaction that is written while the run is executed.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal, Protocol
from uuid import uuid4

from graph.state.row import RunRow


@dataclass(frozen=True)
class Lease:
    """The right to execute a run, for as long as its job is being done at this attempt.

    `mark` is of the time since the database last lost what it had acknowledged without waiting for
    its disk, by a crash: with that the right ends, since what was executed may not be stored.
    """

    job: int
    attempts: int
    mark: str = ""


@dataclass(frozen=True)
class SoleLease:
    """The right of a process that has its database alone to execute runs, until that is marked
    anew: as with a `Lease`, what was executed may not be stored then."""

    mark: str


class Tenure(Protocol):
    """What a process knows that has its database alone, and may outlive a crash of that.

    `lease` is that of executions that begin now: a new one once the database has lost what it had
    acknowledged without waiting for its disk. `look` is set with that, and whenever the database
    was away: what was asked for meanwhile may be stored although it was not acknowledged.
    """

    look: asyncio.Event

    @property
    def lease(self) -> SoleLease: ...


#: No job has it, so that nothing is written by who executes without one.
NO_LEASE = Lease(0, -1)


class LeaseLost(Exception):
    """The run is resumed from what is stored, here or by another process; nothing was written."""

    def __init__(self) -> None:
        super().__init__("the run was taken over, or the database has lost what came last of it")


#: The lease of the run that is executed in this context; None where what is written belongs to no
#: execution, as orders and what is accepted.
lease: ContextVar[Lease | SoleLease | None] = ContextVar("lease", default=None)


@contextmanager
def without_lease() -> Iterator[None]:
    """Write what is to be kept, also where another one executes the run."""
    token = lease.set(None)
    try:
        yield
    finally:
        lease.reset(token)


@dataclass(frozen=True)
class QueuedRun:
    """A job that was taken; `new` says that nobody has begun the run.

    `waited` says that its run was left in order while it waited for its next attempt, and that
    nobody has begun with it since. `row` is that of the run, None where it is gone, and `begins`
    says that no other run of its thread begins before this one has ended.
    """

    run_id: str
    lease: Lease
    new: bool
    waited: bool
    begins: bool = field(default=False, compare=False)
    row: RunRow | None = field(default=None, compare=False)

    @property
    def left(self) -> bool:
        """Whether another process has had it, which may have died of it."""
        return self.lease.attempts > 0 and not self.waited


@dataclass(frozen=True)
class Finished:
    """Whether a job is gone, and whether there is one of its run or thread that nobody tells of."""

    gone: bool
    more: bool


@dataclass(frozen=True)
class HeldRun:
    """What is to be known of a run that is executed here: orders that came from elsewhere.

    `hurried` is the time of the next attempt that somebody asked not to wait for, epoch seconds.
    """

    lease: Lease
    cancelled: bool
    hurried: float | None


@dataclass(frozen=True)
class StoredRun:
    """How far a run is, as it is stored: its latest checkpoint, and how often it was retried."""

    checkpoint_id: str | None
    generation: int


@dataclass(frozen=True)
class FleetLoad:
    """How many jobs wait, how many runs have ended of late, and how many workers there are.

    `followed` says whether some process hears what has changed.
    """

    waiting: int
    ended: int
    workers: int
    followed: bool


@dataclass(frozen=True)
class AnswerPart:
    """Words of an answer that is being given; `number` orders those of a run."""

    number: int
    text: str
    offset: int


#: What is told: that a run has changed, that something was ordered of it, that there is a job, and
#: that anything may have been missed.
News = Literal["changed", "ordered", "queued", "missed"]

#: Is told the news of a run.
Hear = Callable[[News, str], None]

#: Tells the news of a run to all.
Tell = Callable[[str, News], None]


class RunJobs(Protocol):
    """The jobs of all processes. Each call raises what the storage raises."""

    async def join(self) -> int:
        """Become one of those that take jobs; under which number."""

    async def leave(self, worker: int) -> None:
        """Take no more; what this one has not given back is taken by others."""

    async def heartbeat(self, worker: int) -> bool:
        """Say that this one lives; whether the others did not take it for dead meanwhile."""

    async def take(self, worker: int, *, orders_only: bool) -> QueuedRun | None:
        """Take the job that is next, or None; with `orders_only` none of a run that may wait.

        Where the thread is at another run it does not begin, and its job is to be finished.
        """

    async def finish(
        self, lease: Lease, thread_id: str, *, only_if_ended: bool = False
    ) -> Finished:
        """A job is done; the run of the thread that is next gets one, if it had to wait.

        With `only_if_ended` it is done where its run has ended, or waits for a person.
        """

    async def give_back(
        self, lease: Lease, *, pause: float = 0.0, due: float | None = None, failed: bool = False
    ) -> None:
        """Let another process take the job, in so many seconds.

        Unless it has `failed` here, the run is not taken for what might end processes. One that
        waits for an attempt that is `due` then, epoch seconds, is taken at once if it was hurried.
        """

    async def held(self, leases: Sequence[Lease]) -> Sequence[HeldRun]:
        """Those of these leases that are good."""

    async def doing(self, worker: int) -> Sequence[int]:
        """The jobs that a worker is said to do."""

    async def sweep(
        self, worker: int, left: Sequence[int], *, silent: float, steady: bool
    ) -> tuple[int, int]:
        """Give back what nobody does any more; how many jobs that were, and how many are dead.

        Those `left` of this worker, of which it does not know, and if it is `steady` also what
        those have that were `silent` for so many seconds.
        """

    async def audit(self) -> int:
        """Give each run that is to go on a job if it has none; how many that were."""

    async def hurry(self, run_id: str, due: float) -> bool:
        """Ask not to wait for the attempt of a run that is `due` then, epoch seconds.

        Whether there is a job of it.
        """

    async def position(self, run_id: str) -> int | None:
        """The place of a run among those that wait for their beginning, counted from 1."""

    async def workers(self, silent: float) -> int:
        """How many take jobs that were not silent for so many seconds."""

    async def waiting(self, *, due: bool = False) -> int:
        """How many jobs wait; with `due` without those of runs that wait for a later attempt."""

    async def load(self, seconds: float, silent: float) -> FleetLoad:
        """What all have to do; runs that ended in the last so many seconds, and as `workers`."""

    async def changed(self, seconds: float) -> Mapping[str, StoredRun]:
        """How far all runs are that have not ended, or have in the last so many seconds."""

    async def stored(self, run_ids: Sequence[str]) -> Mapping[str, StoredRun]:
        """How far these runs are; of those that are gone nothing."""

    async def aclose(self) -> None:
        """Close the connections."""

    async def speak(self, run_id: str, parts: Sequence[AnswerPart]) -> None:
        """Keep parts of an answer for who watches elsewhere, until the run is settled."""

    async def spoken(self, run_id: str, after: int) -> Sequence[AnswerPart]:
        """The parts of an answer after the number of one."""


class Notices(Protocol):
    """News, told to all processes soon; one that is lost is made up for by a look each second.

    What has changed is heard by who `follow`s it, and told while it is `followed` by others, or
    here: where nobody watches runs it is nothing to anybody. That there is a job is told to one
    worker, which passes it on where it has no room: to all, as a job of no run. `deaf` says that
    none arrive just now, as far as is known by what this process has told.
    """

    followed: bool

    @property
    def deaf(self) -> bool: ...

    def tell(self, run_id: str, news: News = "changed") -> None:
        """Tell it to those whom it concerns, this process too."""

    def work_as(self, worker: int) -> None:
        """Hear of the jobs that this worker is told of, from now on."""

    def follow(self) -> None:
        """Hear what has changed, too, from now on."""

    def hearing(self, hear: Hear) -> AbstractAsyncContextManager[None]:
        """Be told, for as long as the context lasts."""


async def is_heard(notices: Notices, seconds: float) -> bool:
    """Whether what this process tells comes back to it in so many seconds."""
    heard, name = asyncio.Event(), str(uuid4())

    def hear(_: News, run_id: str) -> None:
        if run_id == name:
            heard.set()

    with suppress(TimeoutError):
        async with notices.hearing(hear), asyncio.timeout(seconds):
            notices.tell(name, "ordered")  # which all hear
            await heard.wait()
    return heard.is_set()


@dataclass(frozen=True)
class OpenCircuit:
    """A model that all leave alone, for so many `seconds` from now on; then one call is to see.

    Where that is `held` it is for as long as its provider asked, after which nothing is wrong.
    """

    model: str
    held: bool
    seconds: float
    error_class: str | None


class Circuits(Protocol):
    """The circuits of models that are open for all processes. Each call raises what the storage
    raises."""

    async def read(self) -> Sequence[OpenCircuit]:
        """All that are open."""

    async def open(self, circuit: OpenCircuit) -> None:
        """Let all leave the model alone; of two times the later one counts."""

    async def close(self, model: str) -> None:
        """The model has answered."""

    async def take_trial(self, model: str, pause: float) -> bool:
        """Be the one who is to see, where the time is over; the next is after `pause` seconds."""


@dataclass(frozen=True)
class Taken:
    """Whether a post was counted, and how many are by then that have not come back."""

    granted: bool
    posted: float


class PostRefused(Exception):
    """As many posts of the owner are counted as are allowed: so many that have not come back."""

    def __init__(self, posted: float) -> None:
        super().__init__(f"{posted:g} posts have not come back")
        self.posted = posted


class Posts(Protocol):
    """The posts of owners at all processes, which come back evenly, as many as are allowed in a
    minute. Each call raises what the storage raises."""

    async def take(self, owner: str, limit: int) -> Taken:
        """Count one post, unless as many as are allowed are counted."""

    async def posted(self, owner: str, limit: int) -> float:
        """How many are counted that have not come back."""


@dataclass(frozen=True)
class Fleet:
    """What a database has beside the rest that serves several processes."""

    jobs: RunJobs
    notices: Notices
    circuits: Circuits
    posts: Posts
    #: Jobs over connections of their own, for another event loop.
    other_jobs: Callable[[], RunJobs]
    #: Set when this process finds another one dead.
    deaths: asyncio.Event = field(default_factory=asyncio.Event)
