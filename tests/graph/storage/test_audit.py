"""Who did what, as each database writes it down."""

import time
from dataclasses import replace

from graph.state import DEFAULT_LIMITS
from graph.state.row import ApprovalAnswer, RetryCommand, RunArtifacts, RunRow
from graph.storage.records import AuditQuery
from graph.storage.storage import Storage

RUN = RunRow(
    run_id="a", owner="me", prompt="task", limits=DEFAULT_LIMITS, created_at=1.0, posted_by="you"
)

#: An input that JSON can tell and no text of Postgres: NUL, and the escape of one as text.
STRANGE = ("\0", "\\u0000", "\U0001f600")


async def did(storage: Storage, query: AuditQuery | None = None) -> list[tuple[str, str, str]]:
    """What was done, the first first."""
    found, more = await storage.audit.page(None, query or AuditQuery(), limit=9, before=None)
    assert more is None
    return [(entry["run_id"], entry["kind"], entry["by"]) for entry in reversed(found)]


async def test_every_order_is_written_down_whatever_else_it_says(storage: Storage) -> None:
    index = storage.index
    assert await index.accept(RUN)
    assert await index.accept(replace(RUN, run_id="b", forked_from="a", posted_by=None))
    steps = [{"step": 1, "tool": "add_todo", "input": {"text": text}} for text in STRANGE]
    answer = ApprovalAnswer(
        what="approved", at=2.0, by="boss", reason=STRANGE[0], plan={"steps": steps}
    )
    assert await index.decide("a", answer)
    assert await index.request_cancel("b", at=3.0, by="me")
    command = RetryCommand(
        from_step=1, input={"text": STRANGE[0]}, skip=[], generation=1, by="me", at=4.0
    )
    assert await index.request_retry("a", command)
    assert await did(storage) == [
        ("a", "post", "you"),
        ("b", "fork", "me"),
        ("a", "approve", "boss"),
        ("b", "cancel", "me"),
        ("a", "retry", "me"),
    ]
    kinds = AuditQuery(kinds=("cancel", "retry"), since=3.0, before=4.0)
    assert await did(storage, kinds) == [("b", "cancel", "me")]


async def test_a_removal_is_written_down_only_of_what_was_removed(storage: Storage) -> None:
    index = storage.index
    for run_id in ("a", "b"):
        assert await index.accept(replace(RUN, run_id=run_id))
    assert await index.project("a", "running", started_at=1.0, completed_at=None)
    assert await index.project("a", "completed", started_at=1.0, completed_at=2.0)
    found = [RunArtifacts(run_id, 0, [], []) for run_id in ("a", "b")]
    assert await storage.remove(found, by="boss") == 1
    assert await did(storage) == [
        *(("a", "post", "you"), ("b", "post", "you"), ("a", "delete", "boss"))
    ]
    assert not await storage.audit.prune(time.time() - 60, limit=9)
    assert await storage.audit.prune(time.time() + 60, limit=9)
    assert await did(storage) == [("b", "post", "you")]
