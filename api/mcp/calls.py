"""Calls of tools under way, by clients of ours: who made them, and what they are told of a run.

How a client says that a call is to be given up is here, and where a run stands, what came out, and
what it waits for.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from typing_extensions import TypedDict

from graph.record.record import Progress, Record
from graph.state import Result, RunError, Status
from graph.state.status import SETTLED
from graph.state.wording import Time, doc

#: Tells how far a call is: what is done, what there is in all where that is known, and words.
Report = Callable[[float, float | None, str | None], Awaitable[None]]


async def report_nothing(done: float, of: float | None, words: str | None) -> None:
    """For a caller who wants to know nothing before the end."""


@dataclass(frozen=True)
class Call:
    """One call of a tool.

    `attached`: its caller gives it up by leaving, as by saying so; else a connection that is lost
    means nothing, and only `given_up` tells.
    """

    attached: bool = True
    given_up: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True)
class Caller:
    """Who calls a tool: `owner` whose runs there are, `by` how records name who asked.

    `base_url`: where the server answers, for links; None where none does.
    """

    owner: str
    by: str
    call: Call = field(default_factory=Call)
    report: Report = report_nothing
    base_url: str | None = None


class Calls:
    """The calls that are given up by a message of their own, by whose they are and by their ids.

    Such a message comes with another request. It names the call by the id of its request, which is
    the client's own: a session's id tells clients of one owner apart.
    """

    def __init__(self) -> None:
        self._under_way: dict[tuple[str, str, str], list[Call]] = {}

    @contextmanager
    def noted(self, owner: str, session: str, request_id: object) -> Iterator[Call]:
        """A call that is found by these as long as it is under way."""
        key, call = (owner, session, str(request_id)), Call(attached=False)
        self._under_way.setdefault(key, []).append(call)
        try:
            yield call
        finally:
            self._under_way[key].remove(call)
            if not self._under_way[key]:
                del self._under_way[key]

    def give_up(self, owner: str, session: str, request_id: object) -> None:
        """What a client says to be no longer needed; what has ended is left as it is."""
        for call in self._under_way.get((owner, session, str(request_id)), ()):
            call.given_up.set()


def given_up_id(message: Any) -> object:
    """The id of the request that a message gives up; None of any other message."""
    if not isinstance(message, dict) or message.get("method") != "notifications/cancelled":
        return None
    params = message.get("params")
    return params.get("requestId") if isinstance(params, dict) else None


# What a tool tells of a run.


class AskedStep(TypedDict):
    """A step of a plan that a person is asked about."""

    step: Annotated[int, doc("Its place in the plan, counted from 1.")]
    tool: Annotated[str, doc("The tool that it calls.")]
    input: Annotated[dict[str, Any], doc("What the tool is given.")]


class Asked(TypedDict):
    """What a run waits for."""

    about: Annotated[
        Literal["plan", "step"],
        doc("`plan`: whether it may be executed; `step`: what became of one that may have acted."),
    ]
    steps: Annotated[list[AskedStep], doc("The steps that it is about.")]
    expires_at: Annotated[Time | None, doc("Until when it waits.")]


class RunReport(TypedDict):
    """A run as it stands."""

    run_id: Annotated[str, doc("The id of the run.")]
    thread_id: Annotated[
        str, doc("Its thread; given with the next task, that goes on from what came out of this.")
    ]
    status: Annotated[Status, doc("Where the run stands.")]
    message: Annotated[str, doc("The same in words, and what may be done next.")]
    result: Annotated[Result | None, doc("What came out of a completed run.")]
    error: Annotated[RunError | None, doc("Why the run did not complete.")]
    waits_for: Annotated[Asked | None, doc("What a person is asked; null of a run that goes on.")]
    progress: Annotated[Progress, doc("Steps that are done, and steps in all.")]
    uri: Annotated[str, doc("The whole record, as a resource of this server.")]
    url: Annotated[str | None, doc("The same over HTTP; null where no server answers.")]


def uri_of(run_id: str) -> str:
    """The resource that is the record of a run."""
    return f"run://{run_id}"


def report_of(record: Record, *, base_url: str | None, stopping: bool = False) -> RunReport:
    """What is told of a run; `stopping` says that nothing more is begun in this process."""
    run_id = record["run_id"]
    asked = _asked(record)
    return RunReport(
        run_id=run_id,
        thread_id=record.get("thread_id", run_id),
        status=record["status"],
        message=_message(record, asked, stopping=stopping),
        result=record["result"],
        error=record["error"],
        waits_for=asked,
        progress=record["progress"],
        uri=uri_of(run_id),
        url=base_url and f"{base_url.rstrip('/')}/runs/{run_id}",
    )


def _asked(record: Record) -> Asked | None:
    if record["status"] != "waiting":
        return None
    doubt, approval, steps = record.get("in_doubt"), record["approval"], record["plan"]["steps"]
    if doubt:
        due = [step for step in steps if step["step"] == doubt["step"]]
        return _about("step", due, doubt["expires_at"])
    due = steps[record["progress"]["done"] :]
    return _about("plan", due, approval["expires_at"] if approval else None)


def _about(about: Literal["plan", "step"], steps: Any, expires_at: float | None) -> Asked:
    asked = [AskedStep(step=one["step"], tool=one["tool"], input=one["input"]) for one in steps]
    return Asked(about=about, steps=asked, expires_at=expires_at)


def _message(record: Record, asked: Asked | None, *, stopping: bool) -> str:
    run_id = record["run_id"]
    result = record["result"]
    answer = result.get("answer") if result else None
    said = f"{answer['text']}\n\n({result['summary']})" if result and answer else ""
    if record["status"] == "completed" and result:
        return said or result["summary"]
    if record["error"] and record["status"] in SETTLED:
        return f"{said}\n\n{record['error']['message']}".lstrip()
    if asked and asked["about"] == "plan":
        return (
            "The plan waits for a person to approve or reject it. Show it to the person whom you"
            " work for, and tell the decision with the tool approve_run."
        )
    if asked:
        return (
            "A step may have acted, and the run waits for a person to say what became of it:"
            f" `runwright resolve {run_id}`, or POST /runs/{run_id}/resolve."
        )
    if stopping:
        return "The server is stopping. The run is stored and goes on at the next start."
    if before := record.get("waits_for_run"):
        needs = {"approval": ", whose plan waits for a person", "in_doubt": ", which is in doubt"}
        what = needs.get(before["why"], "")
        return f"The run begins when run {before['run_id']} of its thread has ended{what}."
    return "The run goes on. The tool get_run tells how it stands."
