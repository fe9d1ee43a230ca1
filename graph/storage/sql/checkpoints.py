"""Checkpoints as they are written: a super-step is one transaction that repeats little."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, cast
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    copy_checkpoint,
    empty_checkpoint,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.types import INTERRUPT

from graph.state import logged, whole
from graph.state.run import DETAILS
from graph.state.status import SETTLED
from graph.storage.sql.index import projecting
from graph.storage.sql.statements import START, Reader, Statement, Writer, converted
from graph.storage.storage import Follower, RunSaver

_CHECKPOINT = (
    "INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id,"
    " type, checkpoint, metadata) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id) DO UPDATE SET"
    " parent_checkpoint_id = excluded.parent_checkpoint_id, type = excluded.type,"
    " checkpoint = excluded.checkpoint, metadata = excluded.metadata"
)
_WRITE = (
    "INSERT INTO writes (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel,"
    " type, value) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) DO "
)
_AGAIN = {
    "replace": "UPDATE SET task_path = excluded.task_path, channel = excluded.channel,"
    " type = excluded.type, value = excluded.value",
    "ignore": "NOTHING",
}
_STORED = (
    "SELECT type, checkpoint FROM checkpoints"
    " WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?"
)

#: Channels that seldom change: a checkpoint that has not changed them names the one that has them.
_SELDOM = ("prompt", "plan", "conversation")

#: Under which a stored checkpoint has the id of the one that it names; where it is the second, it
#: has of the run, and of the versions of channels, only what differs from that one as well.
_ELSEWHERE, _BASE = "elsewhere", "base"

#: What is not stored of a checkpoint.
_UNSTORED = ("id", "updated_channels")

_json = json.JSONEncoder(ensure_ascii=False).encode

#: The task of what comes from outside of all tasks.
_NO_TASK = str(UUID(int=0))

#: The channel whose value is put together from what was written to it.
_LOG = "log"


class _Write(NamedTuple):
    """Something that a task has written, the `position`-th of it."""

    task_id: str
    task_path: str
    position: int
    channel: str
    value: Any


class _Place(NamedTuple):
    """A checkpoint that later ones name, and of what they may have only the differences."""

    checkpoint_id: str
    run: Mapping[str, Any]
    versions: ChannelVersions
    seen: Mapping[str, ChannelVersions]

    def differing(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """What a later checkpoint has instead; nothing where its run lacks a field of this one.

        A field that no node has written is the same object: none is compared, 0.0 is no 0.
        """
        run, base = _details(stored), self.run
        if not base or not base.keys() <= run.keys():
            return {}
        written = {name: of for name, of in run.items() if name not in base or base[name] is not of}
        return {
            "channel_values": {**stored["channel_values"], "run": written},
            "channel_versions": _unequal(stored["channel_versions"], self.versions),
            "versions_seen": _unequal(stored["versions_seen"], self.seen),
            _BASE: self.checkpoint_id,
        }


def _unequal(later: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    return {of: at for of, at in later.items() if of not in before or before[of] != at}


def _put_together(stored: dict[str, Any], base: Mapping[str, Any]) -> None:
    """Give a stored checkpoint what it has only the differences of."""
    values = stored["channel_values"]
    values["run"] = {**base["channel_values"]["run"], **values["run"]}
    stored["channel_versions"] = {**base["channel_versions"], **stored["channel_versions"]}
    # LangGraph notes in them what a state has seen: each checkpoint has its own.
    seen = {by: {**versions} for by, versions in base["versions_seen"].items()}
    stored["versions_seen"] = seen | stored["versions_seen"]


@dataclass(slots=True)
class _Thread:
    """What is known of a thread that is being written to.

    `writes` are those of the log, by the checkpoint after which they came: unless a caller waits
    for each, those of the next super-step come before a checkpoint is written. `place` is the
    checkpoint that has what the `latest` may leave out. `is_new`: nothing of it is to be stored
    before its first node has ended; `unstored` is the checkpoint that was left out, and `begun` the
    same where the graph need not make it.
    """

    writes: dict[str, list[_Write]] = field(default_factory=dict)
    latest: str | None = None
    place: _Place | None = None
    is_new: bool = False
    unstored: str | None = None
    begun: CheckpointTuple | None = None
    begins: Mapping[str, Any] = field(default_factory=dict)
    follower: Follower | None = None


class _Beginning(NamedTuple):
    """The checkpoint between an input and the first node, which LangGraph takes two steps to make.

    It differs from run to run by the values of the input only.
    """

    checkpoint: Checkpoint
    metadata: CheckpointMetadata

    def of(self, run_id: str, values: Mapping[str, Any]) -> CheckpointTuple:
        """That of another run."""
        made, new = copy_checkpoint(self.checkpoint), empty_checkpoint()
        made |= {"id": new["id"], "ts": new["ts"]}
        made["channel_values"] |= values
        place = {"thread_id": run_id, "checkpoint_ns": "", "checkpoint_id": made["id"]}
        return CheckpointTuple({"configurable": place}, made, {**self.metadata}, None, [])


class FoldingSaver(RunSaver):
    """Reads as the saver below it does; writes less.

    A super-step is one transaction, in which is everything that it has changed: its checkpoint,
    what it has added to the log, and the run's row where a `Follower` is there. What tasks have
    written waits for the checkpoint that comes of it; a graph whose super-steps have several tasks
    would repeat all of them after a crash. The tables are those of LangGraph's SQLite saver; what
    that one wrote is read as well, but not the other way around.

    What `writes_differences` is read by every saver of this program, but by none of before.
    """

    writes_differences: ClassVar[bool] = False

    def __init__(self, reader: Reader, writer: Writer, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._reader = reader
        self._writer = writer
        self._threads: dict[tuple[str, str], _Thread] = {}
        self._beginnings: dict[frozenset[str], _Beginning] = {}  # by what the input has

    @contextmanager
    def follow(
        self, run_id: str, follower: Follower, begins: Mapping[str, Any] | None = None
    ) -> Iterator[Mapping[str, Any] | None]:
        thread = self._threads[run_id, ""] = _Thread(follower=follower)
        if begins is not None:
            thread.is_new, thread.begins = True, begins
            if beginning := self._beginnings.get(frozenset(begins)):
                thread.begun, begins = beginning.of(run_id, begins), None
                thread.unstored = thread.begun.checkpoint["id"]
        try:
            yield begins
        finally:
            self._threads.pop((run_id, ""), None)

    def get_next_version(self, current: str | None, channel: None) -> str:
        """The version that follows: its number, after the count of its digits, so that texts are in
        the order of their numbers, and after all that the stock saver makes, of 50 characters."""
        number = str(_number(current) + 1)
        return f"{len(number)}{number}"

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        place = config["configurable"]
        thread = self._threads.get((str(place["thread_id"]), place.get("checkpoint_ns", "")))
        if thread and thread.is_new:
            return thread.begun
        found = await super().aget_tuple(config)
        return await self._read(found, {}) if found else None

    async def alist(self, *place: Any, **bounds: Any) -> AsyncIterator[CheckpointTuple]:
        known: dict[str, Any] = {}
        async for found in super().alist(*place, **bounds):
            yield await self._read(found, known)

    async def _read(self, found: CheckpointTuple, known: dict[str, Any]) -> CheckpointTuple:
        """A stored checkpoint with all its values; `known` are those of the ones it may name."""
        stored: dict[str, Any] = cast("dict[str, Any]", found.checkpoint)
        place = found.config["configurable"]
        stored = {"id": place["checkpoint_id"], "updated_channels": None, **stored}
        base = stored.pop(_BASE, None)
        if elsewhere := stored.pop(_ELSEWHERE, base):
            if elsewhere not in known:
                where = place["thread_id"], place.get("checkpoint_ns", ""), elsewhere
                [row] = await self._reader.execute_fetchall(_STORED, where)
                known[elsewhere] = self.serde.loads_typed(tuple(row))
            named = known[elsewhere]
            if base:
                _put_together(stored, named)
            values = named["channel_values"]
            stored["channel_values"] |= {name: values[name] for name in _SELDOM if name in values}
        found = found._replace(checkpoint=cast("Checkpoint", stored))
        is_of_today = DETAILS.isdisjoint(stored["channel_versions"]) and not found.pending_writes
        return found if is_of_today and START not in stored["channel_values"] else converted(found)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        place = config["configurable"]
        key = str(place["thread_id"]), place["checkpoint_ns"]
        thread = self._threads.setdefault(key, _Thread())
        parent = written_at = place.get("checkpoint_id")
        put: RunnableConfig = {
            "configurable": {
                "thread_id": place["thread_id"],
                "checkpoint_ns": place["checkpoint_ns"],
                "checkpoint_id": checkpoint["id"],
            }
        }
        if thread.is_new and metadata.get("step", 1) <= 0:
            thread.unstored = checkpoint["id"]
            if metadata["step"] == 0:
                self._note_beginning(frozenset(thread.begins), checkpoint, metadata)
            return put
        thread.is_new = False
        writes = thread.writes.pop(written_at, []) if written_at else []
        added = [write.value for write in writes]
        if parent == thread.unstored:
            parent = None
            if added:  # there is no checkpoint to which it could be added
                values = {**checkpoint["channel_values"], _LOG: logged([], added)}
                checkpoint = {**checkpoint, "channel_values": values}
        stored, rest = _stored(thread, parent, checkpoint, new_versions)
        kind, packed = self.serde.dumps_typed(stored)
        described = _json(
            {
                name: value
                for name, value in get_checkpoint_metadata(config, metadata).items()
                if value != {}
            }
        ).encode("utf-8", "ignore")
        statements: list[Statement] = [
            # What adds to a log that is stored whole is not read again.
            *(
                self._written(key, str(written_at), write)
                for write in writes
                if _LOG not in checkpoint["channel_values"]
            ),
            (_CHECKPOINT, (*key, checkpoint["id"], parent, kind, packed, described)),
        ]
        if thread.follower is None:
            await self._writer.write(*statements)
        else:
            await self._put_followed(thread.follower, checkpoint, added, statements)
        thread.latest = checkpoint["id"]
        thread.place = rest if self.writes_differences else rest._replace(run={})
        if _is_settled(checkpoint):
            self._threads.pop(key, None)
        return put

    def _note_beginning(
        self, names: frozenset[str], checkpoint: Checkpoint, metadata: CheckpointMetadata
    ) -> None:
        """Know the next time what comes of an input of these channels."""
        made = copy_checkpoint(checkpoint)
        for name in names:
            made["channel_values"].pop(name, None)
        self._beginnings[names] = _Beginning(made, {**metadata})

    async def _put_followed(
        self,
        follower: Follower,
        checkpoint: Checkpoint,
        added: Sequence[Any],
        statements: Sequence[Statement],
    ) -> None:
        """Write a checkpoint, and what its run's row is to say, and tell the follower."""
        log = logged(follower.log, added)
        state = whole({**checkpoint["channel_values"], _LOG: log})
        status = state["status"]
        changes = projecting(state) if status != follower.status else []
        changed = await self._writer.write(*statements, *changes, durable=status in SETTLED)
        follower.log, follower.status = log, status
        await follower.tell(state, bool(changes) and changed > 0)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        place = config["configurable"]
        key = str(place["thread_id"]), str(place["checkpoint_ns"])
        checkpoint_id = str(place["checkpoint_id"])
        made = [_Write(task_id, task_path, at, *write) for at, write in enumerate(writes)]
        special = [write.channel in WRITES_IDX_MAP for write in made]
        if any(special) or task_id == _NO_TASK:  # of these, no checkpoint may come
            again = "replace" if all(special) else "ignore"
            await self._writer.write(
                *(self._written(key, checkpoint_id, write, again) for write in made)
            )
            return
        thread = self._threads.setdefault(key, _Thread())
        earlier = thread.writes.get(checkpoint_id, ())
        thread.writes[checkpoint_id] = [
            *(write for write in earlier if write.task_id != task_id),  # else it runs once more
            *(write for write in made if write.channel == _LOG),
        ]

    def _written(
        self, key: tuple[str, str], checkpoint_id: str, write: _Write, again: str = "ignore"
    ) -> Statement:
        place = WRITES_IDX_MAP.get(write.channel, write.position)
        value = place, write.channel, *self.serde.dumps_typed(write.value)
        task = write.task_id, write.task_path
        return f"{_WRITE}{_AGAIN[again]}", (*key, checkpoint_id, *task, *value)

    async def adelete_thread(self, thread_id: str) -> None:
        await self._writer.write(
            ("DELETE FROM checkpoints WHERE thread_id = ?", (str(thread_id),)),
            ("DELETE FROM writes WHERE thread_id = ?", (str(thread_id),)),
        )


def _number(version: str | None) -> int:
    """The number of a version: of ours, or of the stock saver's, which have a point."""
    if version is None:
        return 0
    return int(version.partition(".")[0] if "." in version else version[1:])


def _stored(
    thread: _Thread, parent: str | None, checkpoint: Checkpoint, new_versions: ChannelVersions
) -> tuple[Mapping[str, Any], _Place]:
    """A checkpoint as it is stored, and which one has its channels that seldom change.

    That of a settled run is whole, so that it is read at once. Its id is in its row, and which
    channels were written spares no search among so few nodes.
    """
    stored: dict[str, Any] = {of: it for of, it in checkpoint.items() if of not in _UNSTORED}
    if thread.follower is not None:
        # It is interrupted nowhere; what was seen by then is noted anew where it is resumed.
        seen = checkpoint["versions_seen"].items()
        stored["versions_seen"] = {by: versions for by, versions in seen if by != INTERRUPT}
    values, place = checkpoint["channel_values"], thread.place
    changed = parent != thread.latest or not new_versions.keys().isdisjoint(_SELDOM)
    if parent is None or place is None or changed:
        versions, seen = stored["channel_versions"], stored["versions_seen"]
        return stored, _Place(checkpoint["id"], _details(stored), versions, seen)
    if not _is_settled(checkpoint):
        kept = {channel: value for channel, value in values.items() if channel not in _SELDOM}
        stored["channel_values"] = kept
        stored |= place.differing(stored) or {_ELSEWHERE: place.checkpoint_id}
    return stored, place


def _is_settled(checkpoint: Checkpoint) -> bool:
    return _details(checkpoint).get("status") in SETTLED


def _details(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """What it has of the run, where that is what it has to be."""
    details = checkpoint["channel_values"].get("run")
    return details if isinstance(details, dict) else {}
