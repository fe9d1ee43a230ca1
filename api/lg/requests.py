"""Requests of the protocol as they are read, to the letter: who makes them, and what they give.

Nothing is taken and ignored.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from api.errors.kinds import AssistantNotFound, FieldError, Unprocessable, unprocessable
from api.lg.stream_parts import MODES
from api.lg.views import ASSISTANT_ID, GRAPH, OURS
from api.middleware.access import CLIENT, OWNER, KeyRefused
from api.operations import check_number, parse
from api.schemas import MOST_FAULTS
from graph.service import Runs
from graph.settings.configured import DEFAULT_OWNER
from graph.state.wording import text_of

#: A client that has no limit of its own says so by one that no run comes to.
NO_RECURSION_LIMIT = 10_000

#: Most entries of one answer, and most that may be passed over before.
LONGEST_PAGE, FURTHEST = 1_000, 100_000


@dataclass(frozen=True)
class Caller:
    """Whose a request is, and what it is about."""

    request: Request
    runs: Runs
    owner: str
    heartbeat: float

    @classmethod
    def of(cls, request: Request) -> "Caller":
        """Who makes a request. Raises `KeyRefused`."""
        owner: str | None = request.scope[OWNER]
        if owner is None:
            raise KeyRefused(given=False)
        state = request.app.state
        return cls(request, state.runs, owner, state.heartbeat)

    @property
    def by(self) -> str:
        """The caller, as records name who asked for something."""
        return CLIENT if self.owner == DEFAULT_OWNER else self.owner


def _listed(given: Any) -> Any:
    return [given] if isinstance(given, str) else given


def _unwrapped(given: Any) -> Any:
    """A checkpoint out of the configuration in which JavaScript's client names it."""
    is_config = isinstance(given, dict) and [*given] == ["configurable"]
    return given["configurable"] if is_config else given


def _refused(words: str) -> Any:
    """A field that says nothing to us unless it is left out, null or empty."""

    def check(given: Any) -> None:
        if given not in (None, [], {}, False):
            raise ValueError(words)

    return Annotated[Any, BeforeValidator(check)]


def _identified(given: Any) -> Any:
    if given is None:
        return None
    return canonical(given) if isinstance(given, str) and canonical(given) else _not_an_id()


def _not_an_id() -> str:
    raise ValueError("must be a UUID")


Id = Annotated[str, BeforeValidator(_identified)]

Modes = Annotated[list[str], BeforeValidator(_listed)]


class Body(BaseModel):
    """A body of which every field is known."""

    model_config = ConfigDict(extra="forbid", strict=True)


class CheckpointPlace(Body):
    """A checkpoint as clients name it; the graph has no subgraphs."""

    thread_id: Id | None = None
    checkpoint_ns: Literal["", None] = None
    checkpoint_id: str | None = None
    checkpoint_map: _refused("there are no subgraphs") = None  # type: ignore[valid-type]  # made by a call


class Command(Body):
    """What is to be done with a thread beside an input."""

    resume: Any = None
    update: _refused("a state is changed by POST …/state") = None  # type: ignore[valid-type]
    goto: _refused("runs go the way of the graph") = None  # type: ignore[valid-type]
    graph: _refused("there are no subgraphs") = None  # type: ignore[valid-type]


class Choices(Body):
    """What a run may be given to be planned with, as `configurable` or `context`."""

    thread_id: Id | None = None
    checkpoint_id: str | None = None
    checkpoint_ns: Literal["", None] = None
    model: str | None = None
    instructions: str | None = None
    tools: list[str] | None = None
    answer: bool | None = None
    approve: Annotated[
        Literal[True] | None,
        Field(description="That a person is to be asked about the plan of this run."),
    ] = None


class Config(Body):
    """The configuration of a run as LangChain has it."""

    tags: _refused("runs have metadata, no tags") = None  # type: ignore[valid-type]
    recursion_limit: int | None = None
    configurable: Choices = Field(default_factory=Choices)
    metadata: dict[str, Any] = Field(default_factory=dict)


class RunBody(Body):
    """A run that is to be begun, or to go on."""

    assistant_id: str
    input: Any = None
    command: Command | None = None
    config: Config = Field(default_factory=Config)
    context: Choices | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    checkpoint: CheckpointPlace | None = None
    checkpoint_id: str | None = None
    stream_mode: Modes = Field(default_factory=list)
    stream_subgraphs: bool = False
    stream_resumable: bool = True
    webhook: str | None = None
    on_disconnect: Literal["cancel", "continue"] = "continue"
    multitask_strategy: str = "enqueue"
    if_not_exists: Literal["create", "reject"] = "reject"
    on_completion: Literal["keep", "delete"] | None = None
    durability: Literal["sync", "async", "exit"] = "sync"
    checkpoint_during: bool | None = None
    strict_resume: bool | None = None
    interrupt_before: _refused("runs stop before effects where they ask for approval") = None  # type: ignore[valid-type]
    interrupt_after: _refused("runs stop before effects where they ask for approval") = None  # type: ignore[valid-type]
    feedback_keys: _refused("there is no feedback") = None  # type: ignore[valid-type]
    after_seconds: _refused("runs begin when their turn comes") = None  # type: ignore[valid-type]
    langsmith_tracer: _refused("traces go where the server is configured to send them") = None  # type: ignore[valid-type]


class ThreadBody(Body):
    """A thread that is to be opened."""

    thread_id: Id | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    if_exists: Literal["raise", "do_nothing"] = "raise"
    supersteps: _refused("a thread has the checkpoints of its runs") = None  # type: ignore[valid-type]
    ttl: _refused("RUNWRIGHT_RETENTION says how long runs are kept") = None  # type: ignore[valid-type]


class ThreadChangeBody(Body):
    """What a thread is known by from now on, beside what it was before."""

    metadata: dict[str, Any] = Field(default_factory=dict)
    ttl: _refused("RUNWRIGHT_RETENTION says how long runs are kept") = None  # type: ignore[valid-type]


class ThreadSearchBody(Body):
    """Which threads are sought."""

    metadata: dict[str, Any] = Field(default_factory=dict)
    ids: list[Id] | None = None
    status: Literal["idle", "busy", "interrupted", "error"] | None = None
    limit: int = Field(10, ge=1, le=LONGEST_PAGE)
    offset: int = Field(0, ge=0, le=FURTHEST)
    sort_by: Literal["created_at", "updated_at"] | None = None
    sort_order: Literal["asc", "desc"] | None = None
    select: list[str] | None = None
    values: _refused("threads are not sought by their values") = None  # type: ignore[valid-type]
    extract: _refused("nothing is extracted; `select` leaves fields out") = None  # type: ignore[valid-type]


class AssistantSearchBody(Body):
    """Which assistants are sought."""

    metadata: dict[str, Any] | None = None
    graph_id: str | None = None
    name: str | None = None
    limit: int = Field(10, ge=1, le=LONGEST_PAGE)
    offset: int = Field(0, ge=0, le=FURTHEST)
    sort_by: Literal["assistant_id", "created_at", "updated_at", "name", "graph_id"] | None = None
    sort_order: Literal["asc", "desc"] | None = None
    select: list[str] | None = None


class StateBody(Body):
    """The checkpoint whose state is wanted."""

    checkpoint: CheckpointPlace
    subgraphs: bool = False
    select: list[str] | None = None


class HistoryBody(Body):
    """Which states of a thread are wanted, the newest first."""

    limit: int = Field(10, ge=1, le=LONGEST_PAGE)
    before: Annotated[CheckpointPlace | str | None, BeforeValidator(_unwrapped)] = None
    metadata: dict[str, Any] | None = None
    checkpoint: CheckpointPlace | None = None
    select: list[str] | None = None


class UpdateBody(Body):
    """What is to be another in the state of a thread."""

    values: Any = None
    as_node: Literal["plan", "fallback_plan", "execute_step"] | None = None
    checkpoint: CheckpointPlace | None = None
    checkpoint_id: str | None = None


B = TypeVar("B", bound=BaseModel)


async def read(request: Request, kind: type[B]) -> B:
    """The body of a request, whatever type it is said to have. Raises `Unprocessable`."""
    raw = await request.body()
    try:
        given = parse(raw) if raw else {}
    except ValueError as error:
        words = getattr(error, "msg", None) or str(error)
        raise unprocessable("body", f"must be JSON: {words}") from None
    if not isinstance(given, dict):
        raise unprocessable("body", "must be an object")
    # Clients say null for what they leave out.
    return checked(kind, {name: value for name, value in given.items() if value is not None})


def checked(kind: type[B], given: Any) -> B:
    """The data as of a kind. Raises `Unprocessable`."""
    try:
        return kind.model_validate(given)
    except ValidationError as invalid:
        raise Unprocessable(_faults(invalid)) from None


def _faults(invalid: ValidationError) -> list[FieldError]:
    if (count := invalid.error_count()) > MOST_FAULTS:
        return [FieldError(field="body", message=f"has {count} faults, too many to tell each")]
    faults = invalid.errors(include_url=False, include_context=False, include_input=False)
    return [
        FieldError(
            field=".".join(map(str, fault["loc"])) or "body",
            message="is not supported"
            if fault["type"] == "extra_forbidden"
            else fault["msg"].removeprefix("Value error, "),
        )
        for fault in faults
    ]


def canonical(given: str) -> str | None:
    """The id as it is kept; None for what is no UUID."""
    try:
        return str(UUID(given))
    except ValueError:
        return None


def id_of(request: Request, name: str) -> str:
    """An id of the path. Raises `Unprocessable`."""
    found = canonical(request.path_params[name])
    if found is None:
        raise unprocessable(name, "must be a UUID")
    return found


def queried(request: Request, *known: str) -> Mapping[str, Sequence[str]]:
    """The parameters of the address, each with its values. Raises `Unprocessable`."""
    check_number(request)
    given: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            raise unprocessable(name[:60], "is not supported")
        given.setdefault(name, []).append(value)
    return given


def flag(given: Mapping[str, Sequence[str]], name: str) -> bool:
    """Whether a parameter is set. Raises `Unprocessable`."""
    value = given.get(name, ["false"])[-1].lower()
    if value not in ("0", "1", "true", "false"):
        raise unprocessable(name, "is true or false")
    return value in ("1", "true")


def count(
    given: Mapping[str, Sequence[str]], name: str, default: int, *, least: int, most: int
) -> int:
    """A number among the parameters. Raises `Unprocessable`."""
    text = given.get(name, [str(default)])[-1]
    if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
        raise unprocessable(name, f"is a number from {least} to {most}")
    return int(text)


def one_of(given: Mapping[str, Sequence[str]], name: str, allowed: Collection[str]) -> str | None:
    """One of several words among the parameters, None without. Raises `Unprocessable`."""
    if name not in given:
        return None
    if given[name][-1] not in allowed:
        raise unprocessable(name, f"is one of {', '.join(allowed)}")
    return given[name][-1]


def as_text(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Metadata as runs keep it: text, and what is no text as its JSON."""
    return {name: text_of(value) for name, value in metadata.items()}


def json_response(
    data: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """An answer as JSON."""
    return Response(to_json(data), status, headers, "application/json")


def kept(metadata: Mapping[str, Any]) -> dict[str, str]:
    """The metadata of a new run or thread. Raises `Unprocessable` where it names another graph."""
    for name, known in OURS.items():
        if metadata.get(name, known) not in OURS.values():
            raise unprocessable(f"metadata.{name}", f"is {known}, or left out")
    return as_text(metadata)


def mode_names(value: str) -> list[str]:
    """JavaScript's client sends several as JSON, or as parameters each."""
    parts = (part.strip(' "') for part in value.strip("[]").split(","))
    return [part for part in parts if part]


def check_assistant(name: str) -> None:
    """Raises `AssistantNotFound` for what is neither the assistant's id nor its graph's name."""
    if name not in (GRAPH, ASSISTANT_ID):
        raise AssistantNotFound(name)


def check_modes(modes: list[str]) -> list[str]:
    """The modes that are streamed; `values` where none are said. Raises `Unprocessable`."""
    for mode in modes:
        if mode not in MODES:
            raise unprocessable("stream_mode", f"{mode[:60]!r} is none of {', '.join(MODES)}")
    return modes or ["values"]


def is_alone(body: RunBody) -> bool:
    """Whether a run is to be refused beside another, which the storage decides where two race."""
    return body.multitask_strategy == "reject"


def own_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Of a configuration's metadata what does not say where the call is made in a graph elsewhere.

    `RemoteGraph` as a node sends all that LangGraph knows its graph by.
    """
    return {
        name: value
        for name, value in metadata.items()
        if name not in OURS and not name.startswith("langgraph_")
    }
