"""Checkpoints of earlier versions, which had a channel for every field of a run."""

from typing import Any, cast

from langgraph.checkpoint.base import Checkpoint, CheckpointTuple

from graph.state import whole
from graph.storage.sql.checkpoints import converted

CONFIG: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": "c"}}


def found(writes: Any = (), **checkpoint: Any) -> CheckpointTuple:
    stored = {"v": 4, "id": "c", "ts": "", "updated_channels": None, **checkpoint}
    return CheckpointTuple(CONFIG, cast("Checkpoint", stored), {}, None, list(writes))


def test_the_fields_of_a_run_are_in_one_channel_with_the_latest_of_their_versions() -> None:
    earlier = found(
        channel_values={
            "prompt": "2 + 2",
            "status": "running",
            "cursor": 1,
            "branch:to:plan": None,
        },
        channel_versions={"prompt": "01.5", "status": "02.5", "cursor": "03.1", "log": "02.5"},
        versions_seen={"plan": {"branch:to:plan": "01.5"}, "__interrupt__": {"cursor": "03.1"}},
        updated_channels=["cursor", "log", "status"],
    )
    checkpoint = converted(earlier).checkpoint

    assert checkpoint["channel_values"] == {
        "prompt": "2 + 2",
        "run": {"status": "running", "cursor": 1},
        "branch:to:plan": None,
    }
    assert checkpoint["channel_versions"] == {"prompt": "01.5", "run": "03.1", "log": "02.5"}
    assert checkpoint["versions_seen"] == {
        "plan": {"branch:to:plan": "01.5"},
        "__interrupt__": {"run": "03.1"},
    }
    assert checkpoint["updated_channels"] == ["log", "run"]
    assert whole(checkpoint["channel_values"])["cursor"] == 1


def test_an_input_that_no_node_has_taken_over_is_split() -> None:
    earlier = found(
        channel_values={"__start__": {"prompt": "2 + 2", "owner": "me"}},
        channel_versions={"__start__": "01.5"},
        versions_seen={},
    )

    assert converted(earlier).checkpoint["channel_values"] == {
        "__start__": {"prompt": "2 + 2", "run": {"owner": "me"}}
    }


def test_what_a_task_has_written_before_a_crash_is_one_write_of_the_channel() -> None:
    """With which the run goes on: its node has ended, and is not visited again."""
    earlier = found(
        [("a", "cursor", 1), ("a", "log", ["entry"]), ("a", "attempt", 0), ("b", "status", "x")],
        channel_values={"cursor": 0},
        channel_versions={"cursor": "01.5"},
        versions_seen={},
    )

    assert converted(earlier).pending_writes == [
        ("a", "run", {"cursor": 1, "attempt": 0}),
        ("a", "log", ["entry"]),
        ("b", "run", {"status": "x"}),
    ]


def test_a_checkpoint_of_today_is_left_as_it_is() -> None:
    today = found(
        [("a", "run", {"cursor": 1})],
        channel_values={"prompt": "2 + 2", "run": {"cursor": 0}},
        channel_versions={"prompt": "11", "run": "12"},
        versions_seen={},
    )

    assert converted(today) is today
