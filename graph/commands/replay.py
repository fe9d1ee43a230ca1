"""Runs that are over, exported, run again and compared: nothing of that is stored."""

import asyncio
from collections.abc import Collection
from importlib.metadata import version
from typing import Annotated, Any

from typing_extensions import TypedDict

from graph.record.diff import Difference, differences
from graph.runs.accept import Acceptance
from graph.runs.context import RunContext
from graph.runs.replay import Replayer
from graph.state import RunState
from graph.state.status import SETTLED_OR_WAITING, WrongStatus
from graph.state.wording import doc

#: So many are replayed at once: it takes the processor, and nothing is waited for but live tools.
AT_ONCE = 2

#: The longest that one may take, in seconds.
LONGEST = 60.0

#: The form of the files; another one is another number.
FORMAT = 1


class NotReplayable(WrongStatus):
    """The run is under way, so that its record is not whole."""

    rule = "only one that has ended, or waits for a person, can be replayed"


class RunExport(TypedDict):
    """A run with all that is kept of it, to be replayed by any server or command."""

    format: Annotated[int, doc("The form of this file: 1.")]
    version: Annotated[str, doc("The version of the program that has written it.")]
    run: Annotated[
        dict[str, Any],
        doc("The state of the run, with models' answers and all outputs; times in epoch seconds."),
    ]


class RunReplay(TypedDict):
    """A recorded run against the same run today; the first of two is the recorded one."""

    run_id: Annotated[str, doc("The run.")]
    same: Annotated[bool, doc("Whether nothing differs.")]
    live: Annotated[list[str], doc("The tools that were called.")]
    differences: Annotated[
        list[Difference], doc("What differs, in its order; with the first one they part.")
    ]


class RunDiff(TypedDict):
    """Two runs against each other."""

    run_ids: Annotated[list[str], doc("The two runs.")]
    same: Annotated[bool, doc("Whether nothing differs.")]
    differences: Annotated[
        list[Difference], doc("What differs, in its order; with the first one they part.")
    ]


def exported(state: RunState) -> RunExport:
    """The file of a run."""
    return RunExport(format=FORMAT, version=version("runwright"), run=dict(state))


async def compared(
    replayer: Replayer,
    recorded: RunState,
    live: Collection[str] = (),
    *,
    ignoring: Collection[str] = (),
) -> RunReplay:
    """A recorded run against the same run today, without what is of a kind to be ignored.

    Raises `LiveRejected`.
    """
    try:
        async with asyncio.timeout(LONGEST):
            found = differences(recorded, await replayer.replay(recorded, live))
    except TimeoutError:
        found = [_too_long()]
    found = [one for one in found if one["what"] not in ignoring]
    run_id = recorded["run_id"]
    names = list(dict.fromkeys(live))
    return RunReplay(run_id=run_id, same=not found, live=names, differences=found)


def _too_long() -> Difference:
    ended = f"the replay was ended after {LONGEST:g} s"
    return Difference(
        what="order", where=ended, step=None, round=None, path="", first=None, second=ended
    )


class Replays:
    """What is asked of runs that are over."""

    def __init__(self, context: RunContext, acceptance: Acceptance, replayer: Replayer) -> None:
        self._reader = context.reader
        self._acceptance = acceptance
        self.replayer = replayer
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def export(self, run_id: str, *, owner: str | None) -> RunExport:
        """The file of a run as last stored. Raises `RunNotFound` and `StorageUnavailable`."""
        return exported(await self._reader.admitted(run_id, owner))

    async def replay(
        self, run_id: str, live: Collection[str] = (), *, owner: str | None
    ) -> RunReplay:
        """A run against the same run today; it counts as a post of its owner.

        The tools that are `live` are called, and nothing else is. Raises `RunNotFound`,
        `NotReplayable`, `LiveRejected`, `TooManyPosts`, `NotAccepting` and `StorageUnavailable`.
        """
        recorded = await self._reader.admitted(run_id, owner)
        if recorded["status"] not in SETTLED_OR_WAITING:
            raise NotReplayable(run_id, recorded["status"])
        self._acceptance.check()
        await self._acceptance.count_post(recorded["owner"])
        async with self._slots:
            return await compared(self.replayer, recorded, live)

    async def diff(self, run_id: str, other_id: str, *, owner: str | None) -> RunDiff:
        """Two runs as last stored. Raises `RunNotFound` and `StorageUnavailable`."""
        first = await self._reader.admitted(run_id, owner)
        second = await self._reader.admitted(other_id, owner)
        found = differences(first, second)
        return RunDiff(run_ids=[run_id, other_id], same=not found, differences=found)
