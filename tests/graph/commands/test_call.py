"""The call of a tool by itself: exactly what its caller wanted, whatever models there are."""

from typing import Any

import pytest

from graph.commands.retry import RetryRejected, RetryRequest
from graph.commands.seeded import call_of
from graph.record.events import next_event
from graph.record.record import Record
from graph.service import Runs
from graph.state import Approve, RunState
from graph.storage.storage import Storage
from nodes.approval.asking import ApprovalGate, approval_needed
from tests.support.models.rounds import model, passing
from tests.support.runs.live_runs import AT_ONCE, Gates, process, rested, told
from tests.support.wording.messages import wording
from tools.registry import ToolError, tool


class Missing(Gates):
    """With a tool whose failure a model may mend, since it changes nothing."""

    def _quick(self) -> list[Any]:
        @tool("miss", effects=False)
        async def miss(label: str) -> str:
            """Find nothing."""
            self.calls[label] += 1
            raise ToolError("nothing there", retryable=False)

        return [*super()._quick(), miss]


async def called(runs: Runs, name: str, label: str) -> Record:
    record = await runs.call(name, {"label": label}, owner="default")
    return await rested(runs, record["run_id"])


async def test_a_call_that_fails_is_mended_and_planned_anew_by_no_model(storage: Storage) -> None:
    async with process(storage, Missing(), only := model(passing("a"), passing("b"))) as runs:
        record = await called(runs, "miss", "m")
        assert record["error"] is not None
        assert (record["status"], record["error"]["type"]) == ("failed", "step_failed")
        request = RetryRequest(replan=True)
        with pytest.raises(RetryRejected) as refused:
            await runs.retry(record["run_id"], request, by="ann", owner=None)
        assert str(refused.value) == wording("orders.retry.replan.call")
        await runs.retry(record["run_id"], RetryRequest(), by="ann", owner=None)
        record = await rested(runs, record["run_id"])
        assert (record["status"], len(record["plan"]["rounds"])) == ("failed", 1)
        await told(runs, record["run_id"])
    assert only.calls == []


@pytest.mark.parametrize(
    "text", ["{step_1_output}", "{{x}}", "a { b", "}", "{step_2_output.text}", "{{{step_1_output}"]
)
async def test_braces_in_the_arguments_of_a_call_are_text(storage: Storage, text: str) -> None:
    async with process(storage, Gates()) as runs:
        record = await called(runs, "pass", text)

    assert record["status"] == "completed", record["error"]
    assert record["result"] is not None
    assert record["result"]["output"] == text
    assert [entry["input"] for entry in record["execution_log"]] == [{"label": text}]


def seed(approve: Approve) -> RunState:
    gate = ApprovalGate(Gates().tools, next_event, approve, expires=60.0)
    return call_of("pass", {"label": "a"}, AT_ONCE, gate, owner="default", at=100.0)


def test_a_call_is_asked_about_from_when_it_begins() -> None:
    """It may have waited in the queue before."""
    asked = approval_needed(seed("always"), at=200.0)

    approval = asked["approval"]
    assert (asked["status"], approval["asked_at"], approval["expires_at"]) == ("waiting", 200, 260)
    [made] = asked["plan"]["rounds"]
    assert made["approval"] == approval


def test_a_call_that_nobody_is_asked_about_has_no_approval() -> None:
    assert "approval" not in seed("never")
    assert approval_needed(seed("never"), at=200.0) == {}
