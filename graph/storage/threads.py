"""Threads: conversations of an owner's runs, as every backend keeps them.

A thread is there for as long as a run of it is: the first one gives it its id. It has a row of its
own only where it has a name or metadata, so that nothing is written for a run that is alone; or
where it was opened ahead of its first run, for who continues it by an id of their own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Protocol

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
