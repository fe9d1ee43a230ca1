"""Checkpoints of earlier versions, which had a channel for every field of a run, as today's.

LangGraph would read them as empty, without an error: it knows the graph's channels only.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointTuple,
    PendingWrite,
)

from graph.state import split
from graph.state.run import DETAILS

#: The channel that has what `DETAILS` had.
_RUN = "run"

#: The channel of an input that no node has taken over.
START = "__start__"


def converted(found: CheckpointTuple) -> CheckpointTuple:
    """A checkpoint with what was written after it, over the channels of today."""
    checkpoint, writes = found.checkpoint, found.pending_writes
    if _is_earlier(checkpoint):
        found = found._replace(checkpoint=_as_today(checkpoint))
    if writes and any(channel in DETAILS for _, channel, _ in writes):
        found = found._replace(pending_writes=_writes_of_today(writes))
    return found


def _is_earlier(checkpoint: Checkpoint) -> bool:
    given = checkpoint["channel_values"].get(START)
    return not DETAILS.isdisjoint(checkpoint["channel_versions"]) or (
        isinstance(given, dict) and not DETAILS.isdisjoint(given)
    )


def _as_today(checkpoint: Checkpoint) -> Checkpoint:
    """A checkpoint over the channels of today."""
    values = checkpoint["channel_values"]
    details = {name: value for name, value in values.items() if name in DETAILS}
    channels = {name: value for name, value in values.items() if name not in DETAILS}
    if details:
        channels[_RUN] = details
    if isinstance(given := channels.get(START), dict):
        channels[START] = split(given)
    return cast(
        "Checkpoint",
        {
            **checkpoint,
            "channel_values": channels,
            "channel_versions": _versions(checkpoint["channel_versions"]),
            "versions_seen": {
                node: _versions(seen) for node, seen in checkpoint["versions_seen"].items()
            },
            "updated_channels": _names(checkpoint.get("updated_channels")),
        },
    )


def _versions(versions: Mapping[str, Any]) -> ChannelVersions:
    """The versions, with that of `run` the latest of those that it stands for."""
    kept: ChannelVersions = {
        name: version for name, version in versions.items() if name not in DETAILS
    }
    if former := [version for name, version in versions.items() if name in DETAILS]:
        kept[_RUN] = max(former)
    return kept


def _names(names: Collection[str] | None) -> list[str] | None:
    if names is None:
        return None
    return sorted({_RUN if name in DETAILS else name for name in names})


def _writes_of_today(writes: Sequence[PendingWrite]) -> list[PendingWrite]:
    """The writes, with one write of `run` where a task has written fields that are in it."""
    joined: list[PendingWrite] = []
    details: dict[str, dict[str, Any]] = {}
    for task, channel, value in writes:
        if channel not in DETAILS:
            joined.append((task, channel, value))
            continue
        if task not in details:
            details[task] = {}
            joined.append((task, _RUN, details[task]))
        details[task][channel] = value
    return joined
