"""What is on record beside runs: threads, who did what, what is to be posted, and who owns all.

A thread is there for as long as a run of it is: the first one gives it its id. It has a row of its
own only where it has a name or metadata, or was opened ahead of its first run, by an id of its own.

Who did what and what is to be posted is written in the transaction of the change, so that nothing
is lost where the process dies between the two. The audit has no content, and outlasts its runs.
"""

import hmac
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, Protocol

from typing_extensions import TypedDict

from graph.state import Status
from graph.state.wording import Time, doc

#: Longest name of a thread, in characters, and what it looks like: one line, no blank at its ends,
#: none of the characters that nobody sees. Of those the pattern has only the common ones.
LONGEST_THREAD_NAME = 100
_UNSEEN = (
    r"\x00-\x1f\x7f-\xa0\xad\u0600-\u0605\u061c\u06dd\u070f\u180e\u2000-\u200f\u2028-\u202f"
    r"\u205f-\u206f\u3000\ufeff\ufff9-\ufffb"
)
THREAD_NAME = rf"^[^\s{_UNSEEN}]([^{_UNSEEN}]*[^\s{_UNSEEN}])?$"


class LastRun(TypedDict):
    """The run of a thread that was accepted last."""

    run_id: Annotated[str, doc("The id of the run.")]
    prompt: Annotated[str, doc("What was asked.")]
    status: Annotated[Status, doc("Where the run stands.")]
    created_at: Annotated[Time, doc("When it was accepted.")]


class Thread(TypedDict):
    """A conversation: runs that go on one after the other, each with what went before in mind."""

    thread_id: Annotated[str, doc("Its id, which is that of its first run.")]
    owner: Annotated[str, doc("Whose it is; `default` where there are no keys.")]
    name: Annotated[str | None, doc("What its owner calls it; no other thread of theirs has it.")]
    metadata: Annotated[dict[str, str], doc("What its owner knows it by besides.")]
    runs: Annotated[int, doc("How many runs are kept of it.")]
    created_at: Annotated[Time, doc("When the first of them was accepted.")]
    last_run: Annotated[LastRun, doc("The run that was accepted last.")]


class ThreadPage(TypedDict):
    """A page of threads."""

    threads: Annotated[list[Thread], doc("Those with the newest run first.")]
    next_cursor: Annotated[
        str | None, doc("Given as `cursor`, goes on after this page; null on the last one.")
    ]


class NameTaken(Exception):
    """Another thread of the owner has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"another thread is named {name}")
        self.name = name


@dataclass(frozen=True)
class Head:
    """The run that a thread is at; no other of its runs may begin before this one has ended."""

    run_id: str
    status: Status


@dataclass(frozen=True)
class OpenedThread:
    """A thread without any run as yet; `created_at` in epoch seconds."""

    thread_id: str
    metadata: Mapping[str, str]
    created_at: float


#: So many threads without a run are kept of an owner; of more, the oldest are forgotten.
MOST_OPENED = 1_000


@dataclass(frozen=True)
class Earlier:
    """A settled run of a thread; `completed_at` in epoch seconds."""

    run_id: str
    completed_at: float


@dataclass(frozen=True, kw_only=True)
class ThreadChange:
    """What a thread is called from now on; `metadata` None leaves that as it is.

    `name` is left as it is unless it is to be `renamed`, and None takes it away.
    """

    renamed: bool = False
    name: str | None = None
    metadata: Mapping[str, str] | None = field(default=None)


class ThreadIndex(Protocol):
    """What a backend knows of threads; `owner` None is the owner of the storage, who finds all."""

    async def owned(self, thread_id: str, owner: str | None) -> bool:
        """Whether the thread has a run, or was opened, and is the owner's."""

    async def open(self, thread: OpenedThread, owner: str) -> bool:
        """Keep a thread ahead of its first run; whether it is new, and its id is nobody's."""

    async def opened(self, owner: str, thread_id: str | None = None) -> Sequence[OpenedThread]:
        """The owner's threads without a run, the newest first, or the one with this id."""

    async def close(self, thread_id: str, owner: str | None) -> bool:
        """Forget a thread without a run; whether there was one."""

    async def named(self, owner: str, name: str) -> str | None:
        """The id of the owner's thread of that name."""

    async def of_run(self, run_id: str) -> str | None:
        """The thread that a run belongs to."""

    async def head(self, thread_id: str) -> Head | None:
        """The run that the thread is at: one that has begun and not ended, else the earliest that
        has not begun. None where all have ended."""

    async def earlier(self, run_id: str, *, limit: int) -> tuple[Sequence[Earlier], int]:
        """The settled runs before this one in its thread, newest first, and how many there are."""

    async def find(self, thread_id: str, owner: str | None) -> Thread | None:
        """The thread, if it is the owner's."""

    async def page(
        self, owner: str, *, limit: int, before: int | None, name: str | None
    ) -> tuple[Sequence[Thread], int | None]:
        """The threads of an owner whose last runs were accepted before a place, the newest first.

        With where the next page begins, None at the end; with `name` only the one of that name.
        """

    async def change(self, thread_id: str, owner: str | None, change: ThreadChange) -> bool:
        """Change a thread, durably; whether there is one. Raises `NameTaken`."""

    async def members(self, thread_id: str, owner: str | None) -> Sequence[tuple[str, Status]]:
        """The runs of a thread with their statuses, in the order of acceptance."""

    async def checkpoints(
        self, thread_id: str, *, limit: int, before: str | None = None, at: str | None = None
    ) -> Sequence[tuple[str, str]]:
        """The checkpoints of all runs of a thread, each after its run, in order of id from the end.

        So many of those whose ids are before one, or only that with this id.
        """


# What is written down with a change.


Act = Literal[
    "post",
    "fork",
    "approve",
    "reject",
    "expire",
    "resolve",
    "cancel",
    "retry",
    "delete",
    "webhook",
]


class AuditEntry(TypedDict):
    """Something that somebody did with a run."""

    at: Annotated[Time, doc("When.")]
    kind: Annotated[
        Act,
        doc(
            "What: `expire` is the end of the time for a decision, `delete` also that of retention,"
            " and `webhook` that an endpoint was told."
        ),
    ]
    by: Annotated[
        str,
        doc(
            "Who: the name of a key, `client` without keys, `the command line`, `server`, "
            "`retention`, and with `webhook` the host that was told."
        ),
    ]
    owner: Annotated[str, doc("Whose run it is, or was.")]
    run_id: Annotated[str, doc("The run, which may have been removed since.")]


class AuditPage(TypedDict):
    """A page of what was done."""

    entries: Annotated[list[AuditEntry], doc("The latest first.")]
    next_cursor: Annotated[
        str | None, doc("Given as `cursor`, goes on after this page; null on the last one.")
    ]


@dataclass(frozen=True, kw_only=True)
class AuditQuery:
    """Which entries; what is left out does not matter. Times in epoch seconds."""

    kinds: tuple[Act, ...] = ()
    run_id: str | None = None
    since: float | None = None
    before: float | None = None


class Audit(Protocol):
    """The entries of one backend, numbered in the order in which they were written.

    A backend writes one whenever the row of a run is inserted (`post` or `fork`, by its
    `posted_by`, else its owner), has `cancel_at`, `retry` or an approval answer stored, or is
    removed, and when a delivery of the outbox is forgotten because it was posted.
    """

    async def page(
        self, owner: str | None, query: AuditQuery, *, limit: int, before: int | None
    ) -> tuple[Sequence[AuditEntry], int | None]:
        """What was done with the runs of an owner (None: of all), the latest first.

        Only what was written before the number `before`; with the number that the next page begins
        before, None at the end.
        """

    async def prune(self, moment: float, *, limit: int) -> int:
        """Forget what was done with runs removed before an epoch second, of so many runs at most.

        How many entries that were.
        """


@dataclass(frozen=True)
class Delivery:
    """One thing to be posted to one endpoint; times in epoch seconds.

    `number` orders them, and names the message, however often it is posted. `attempts` were made
    without success.
    """

    number: int
    run_id: str
    endpoint: str
    status: Status
    at: float
    attempts: int = 0


@dataclass(frozen=True)
class Undelivered:
    """One that could not be posted yet, or at all; `given_up` says which."""

    endpoint: str
    status: Status
    at: float
    attempts: int
    failure: str
    given_up: int


class Outbox(Protocol):
    """Deliveries of each run and endpoint have an order; one holds up those behind it.

    `may_have_failed` says whether anything may have been tried without success, which every record
    asks first.
    """

    may_have_failed: bool

    async def subscribe(self, endpoints: Mapping[str, Sequence[Status]]) -> None:
        """From now on these endpoints are told of changes to these statuses, and no others."""

    async def due(
        self, now: float, *, limit: int, without: Collection[str] = ()
    ) -> Sequence[Delivery]:
        """The first of each run and endpoint that is due by now, in order.

        Left out are endpoints that begin with one of `without`, as they do with a slash behind.
        """

    async def take(self, number: int, now: float) -> bool:
        """Have one that is due to oneself for a while; False where another process posts it."""

    async def next_due(self, *, after: float) -> float | None:
        """When the next is due of those that stand first, and are not due by `after`; or None."""

    async def delivered(self, one: Delivery) -> None:
        """Forget one that was posted, and write down that its host was told."""

    async def postpone(self, number: int, *, until: float, failure: str) -> None:
        """Try one again later."""

    async def give_up(self, number: int, *, failure: str) -> None:
        """Try one no more; it is kept with its run."""

    async def undelivered(self, run_id: str) -> Sequence[Undelivered]:
        """What of a run was tried without success, in order."""


# Who owns the database.


@dataclass(frozen=True)
class ServerAddress:
    """Where a server answers, and the secret by which it proves that it is the one of the note."""

    url: str
    secret: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)

    def proof(self, nonce: str) -> str:
        """What only who knows the secret can answer to a nonce, in hex."""
        message = f"{self.url}\n{nonce}".encode()
        return hmac.new(self.secret.encode(), message, "sha256").hexdigest()


@dataclass(frozen=True)
class Owner:
    """Who holds a database; `url` is where its server answers, None for a process without one.

    `secret` is None where there is none, or the note may be another user's.
    """

    pid: int
    url: str | None
    secret: str | None = field(default=None, repr=False, compare=False)

    def proves(self, nonce: str, proof: str) -> bool:
        """Whether it is this owner's server that answers so."""
        if self.url is None or self.secret is None:
            return False
        expected = ServerAddress(self.url, self.secret).proof(nonce)
        return hmac.compare_digest(expected.encode(), proof.encode())


class DatabaseOwned(Exception):
    """Another process owns the database. `owner` is None when it left no readable note.

    `shared`: several processes have it, and it was wanted alone; none of them is the owner. `place`
    names the database without any password, and `kind` what it is one of; `owner_now` says who
    has it when that is called.
    """

    def __init__(
        self,
        place: str,
        owner: Owner | None,
        *,
        kind: str,
        owner_now: Callable[[], Owner | None],
        shared: bool = False,
    ) -> None:
        self.place = place
        self.owner = owner
        self.kind = kind
        self.owner_now = owner_now
        self.shared = shared
        by = "shared by several processes" if shared else f"in use by {_named(owner)}"
        super().__init__(f"{place} is {by}")

    @property
    def advice(self) -> str:
        """What can be done by who wants it."""
        if self.shared:
            return (
                "stop them, name one of their servers with --url, or set RUNWRIGHT_WORKERS=0 to be"
                " one of them"
            )
        return f"stop it first, or set RUNWRIGHT_DATABASE_URL to another {self.kind}"


def _named(owner: Owner | None) -> str:
    if owner is None:
        return "another process"
    where = f"the server at {owner.url}" if owner.url else "a `runwright run` or a notebook"
    return f"{where} (process {owner.pid})"
