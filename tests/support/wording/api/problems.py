"""The problems that the API answers with: their titles and details."""

from collections.abc import Iterator
from typing import Any

from starlette.exceptions import HTTPException

from api.errors.kinds import NotReady
from api.errors.problems import PROBLEMS, OutputNotFound
from api.middleware.access import HostRefused, KeyRefused, NotJson, OriginRefused
from api.middleware.connections import HeadTooLarge, Malformed, TooManyConnections, TooSlow
from api.middleware.guards import BodyTooLarge, TooManyStreams
from api.streams import EventNotFound
from graph.commands.approval import NotInDoubt, NotWaiting
from graph.commands.retry import NoBackoff, NotPlanned, NotRetryable, RetryRejected
from graph.commands.seeded import ForkRejected, ToolNotFound
from graph.commands.threads import NotSettled, ThreadNotSettled
from graph.queue.executor import NotAccepting, QueueFull
from graph.queue.fair import NoRoom, RunUsedUp, TooManyPosts
from graph.runs.accept import ChoiceRejected, KeyReused
from graph.runs.cancellation import AlreadySettled
from graph.runs.context import RunNotFound
from graph.runs.history import CheckpointNotFound, NotReplayable
from graph.runs.replay import LiveRejected
from graph.runs.threads import ThreadNotFound
from graph.service import PromptRejected
from graph.storage.records import NameTaken
from graph.storage.search import InvalidCursor, SearchTooLarge
from graph.storage.sqlite.connections import MALFORMED
from graph.storage.storage import StorageUnavailable
from nodes.approval.questions import AnswerUnfit, PlanUnfit
from tests.support.runs.fake_runs import FakeRuns
from tests.support.servers.asgi_clients import serving

_RUN = "<run_id>"
_STATUS: Any = "<status>"
_NUMBER: Any = "<number>"
_LAST: Any = "<last>"

#: What goes wrong, by the key of its detail.
_FAILURES: dict[str, Exception] = {
    "prompt-rejected": PromptRejected("<reason>"),
    "choice-rejected": ChoiceRejected("<field>", ["<reason>", "<another>"]),
    "invalid-cursor": InvalidCursor(),
    "search-too-large": SearchTooLarge("duration"),
    "plan-unfit": PlanUnfit(["<reason>", "<another>"]),
    "answer-unfit": AnswerUnfit("output", ["<reason>", "<another>"]),
    "retry-rejected": RetryRejected("skip", ["<reason>", "<another>"]),
    "fork-rejected": ForkRejected("plan", ["<reason>", "<another>"]),
    "unreadable-body": HTTPException(400),
    "key-refused.none": KeyRefused(given=False),
    "key-refused.wrong": KeyRefused(given=True),
    "host-refused": HostRefused("<host>"),
    "origin-refused": OriginRefused("<origin>"),
    "run-not-found": RunNotFound(_RUN),
    "checkpoint-not-found": CheckpointNotFound(_RUN, "<checkpoint_id>"),
    "event-not-found": EventNotFound(_NUMBER, _LAST),
    "output-not-found": OutputNotFound(_NUMBER, _LAST),
    "tool-not-found": ToolNotFound("there is no tool <name>; there are <tools>"),
    "path-not-found": HTTPException(404),
    "method-not-allowed": HTTPException(405),
    "already-settled": AlreadySettled(_RUN, _STATUS),
    "key-reused": KeyReused("<name>", _RUN),
    "not-settled": NotSettled(_RUN, _STATUS),
    "thread-not-found": ThreadNotFound("<thread_id>"),
    "thread-name-taken": NameTaken("<name>"),
    "thread-not-settled": ThreadNotSettled("<thread_id>", _RUN, _STATUS),
    "not-waiting": NotWaiting(_RUN, _STATUS),
    "not-waiting.in-doubt": NotWaiting(_RUN, "waiting", in_doubt=True),
    "not-in-doubt": NotInDoubt(_RUN, _STATUS),
    "not-in-doubt.decided": NotInDoubt(_RUN, "waiting", decided=True),
    "not-waiting.decided": NotWaiting(_RUN, "waiting"),
    "not-retryable": NotRetryable(_RUN, _STATUS),
    "not-planned": NotPlanned(_RUN, "from_step"),
    "not-replayable": NotReplayable(_RUN, _STATUS),
    "live-rejected": LiveRejected("<reason>", "<another>"),
    "no-backoff": NoBackoff(_RUN, _STATUS),
    "malformed": Malformed(),
    "too-slow": TooSlow(),
    "too-many-streams": TooManyStreams(300),
    "head-too-large": HeadTooLarge(32_768),
    "too-many-connections": TooManyConnections(),
    "body-too-large": BodyTooLarge(65_536),
    "not-json.none": NotJson(""),
    "not-json.other": NotJson("text/plain"),
    "queue-full": QueueFull(10_000, 2.3),
    "too-many-posts": TooManyPosts(6_000, 2.3),
    "no-room.runs": NoRoom("runs", 1_000_000, 1_000_000),
    "no-room.bytes": NoRoom("bytes", 10_000_001, 10_000_000),
    "run-used-up.retries": RunUsedUp(_RUN, "retries", 100),
    "run-used-up.forks": RunUsedUp(_RUN, "forks", 100),
    "not-accepting": NotAccepting(),
    "storage-unavailable": StorageUnavailable(),
    "storage-unavailable.damaged": StorageUnavailable(MALFORMED),
    "not-ready": NotReady("<reason>"),
    "internal": ValueError("<secret>"),
}

#: Orders that may have been stored although the storage did not answer.
_ORDERS = ("cancel", "retry", "approve", "reject")


class _Failing(FakeRuns):
    """Runs that fail as they are told to, one way after the other."""

    async def _refuse(self, run_id: str, *_: Any, **__: Any) -> Any:
        self._fail()

    retry = approve = reject = _refuse


def _titles() -> Iterator[tuple[str, str]]:
    for kind in PROBLEMS.values():
        yield f"{kind.name}.title", kind.title


async def messages() -> dict[str, str]:
    """The title of each kind, and the detail of each way in which it is met."""
    told = dict(_titles())
    runs = _Failing()
    async with serving(runs) as client:
        for key, failure in _FAILURES.items():
            runs.failure = failure
            problem = (await client.post("/runs", json={"prompt": "hello"})).json()
            assert problem["type"].endswith(f":{key.partition('.')[0]}"), problem
            told[f"{key}.detail"] = problem["detail"]
        runs.failure = None
        runs.ready = False
        told["not-ready.stopping.detail"] = (await client.get("/health/ready")).json()["detail"]
        runs.ready, runs.writable = True, False
        told["not-ready.storage.detail"] = (await client.get("/health/ready")).json()["detail"]
        runs.failure = StorageUnavailable()
        for order in _ORDERS:
            problem = (await client.post(f"/runs/{_RUN}/{order}")).json()
            told[f"storage-unavailable.{order}.detail"] = problem["detail"]
    return told
