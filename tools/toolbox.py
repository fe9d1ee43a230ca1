"""Tools as the runtime knows them: what one takes, how a call of it ends, and which there are.

There is a fixed set, and beside it those of servers that come and go.
"""

import asyncio
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from typing import Any, Literal, get_args

from langchain_core.tools import StructuredTool
from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo


@dataclass(frozen=True)
class InputFault:
    """What is wrong with one place of an input; `value` is what stands there."""

    place: tuple[int | str, ...]
    kind: str
    message: str
    value: Any = None

    def in_words(self) -> str:
        """The place with what is wrong there."""
        return f"{'.'.join(map(str, self.place)) or 'input'}: {self.message}"


class UnfitInput(Exception):
    """An input that does not fit the schema of its tool."""

    def __init__(self, faults: Sequence[InputFault]) -> None:
        super().__init__("; ".join(fault.in_words() for fault in faults))
        self.faults = tuple(faults)


@dataclass(frozen=True)
class Parameter:
    """One argument of a tool; `number`: the kind of number it takes, if it takes one."""

    required: bool
    number: type[int] | type[float] | None


def faults_of(invalid: ValidationError) -> list[InputFault]:
    """What pydantic says is wrong, place by place."""
    return [
        InputFault(error["loc"], error["type"], error["msg"], error["input"])
        for error in invalid.errors(include_url=False, include_context=False)
    ]


def parameter_of(field: FieldInfo) -> Parameter:
    """What a field of a pydantic model takes."""
    kinds: set[Any] = {field.annotation, *get_args(field.annotation)}
    number = float if float in kinds else int if int in kinds else None
    return Parameter(field.is_required(), number)


class UnfitOutput(Exception):
    """A type or a value that has no form as JSON; the message says why, and what would be right."""


# Why a type or a value has no form as JSON, and what would be right.


NO_BYTES = "bytes are no text; decode them, or return the name of a file"
NO_SET = "a set of what has no order is another list each time; return a list"
NO_ITERATOR = "what can be read only once cannot be kept; return a list"
NO_AWAITABLE = "nobody awaits it; declare the tool with `async def`"
NO_FUNCTION = "a function is no data; return what it returns"
NO_KEYS = "keys are text in JSON; return a list of pairs"
NO_FORM = "it has no form as JSON; return a dict, a list, a dataclass or a pydantic model"


#: The longest time of an attempt, in seconds, and the most attempts that a tool may ask for.
MAX_TIMEOUT, MAX_ATTEMPTS = 86_400.0, 100

#: So many tools' schemas are kept: making one takes milliseconds, and every opening asks for all.
MOST_SCHEMAS = 2_000

_SHOWN = 5  # names of a set

#: What becomes of a step of which nobody knows whether it acted: a person is asked, it fails, or it
#: is attempted again as if that did no harm.
InDoubt = Literal["ask", "fail", "retry"]


@lru_cache(MOST_SCHEMAS)
def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema of a model, made once."""
    return model.model_json_schema()


class Tool(StructuredTool):
    """A LangChain tool that also says what a runtime has to know about it.

    `effects`: it changes something. `idempotent`: calling it again with the same step key has no
    second effect, also while a first call may still be running. `in_doubt`: what becomes of a step
    that may have acted; None is as everywhere. `declared`: its author said which of these hold.
    `phrases`: how people ask for it, for the pattern planner. `noun`: what
    one of its outputs is called in a summary ("2 to-dos"). `sets`: arguments that may name several
    things, as a list, or all, as the word "all", each with what all of them are ("every to-do").
    `timeout`: the longest time of an attempt, in seconds, and `attempts`: the most at one step;
    where it says nothing of them, the run's limits hold. `server`: the MCP server that has it, and
    `owners`: whose runs may call it; None is everybody's.
    """

    effects: bool = True
    idempotent: bool = False
    in_doubt: InDoubt | None = None
    declared: bool = False
    phrases: tuple[str, ...] = ()
    noun: str = "item"
    sets: Mapping[str, str] = Field(default_factory=dict)
    timeout: float | None = Field(None, gt=0, le=MAX_TIMEOUT, strict=True)
    attempts: int | None = Field(None, ge=1, le=MAX_ATTEMPTS, strict=True)
    call_parameter: str | None = None
    server: str | None = None
    owners: tuple[str, ...] | None = None

    @property
    def repeatable(self) -> bool:
        """The former name of `idempotent`."""
        warn_of_repeatable()
        return self.idempotent

    @property
    def acts_once(self) -> bool:
        """Whether a second call may have a second effect, which nobody has asked for."""
        return self.effects and not self.idempotent

    @property
    def schema_model(self) -> type[BaseModel]:
        """The pydantic model of the input, without the hidden `ToolCall` parameter."""
        schema = self.args_schema
        assert isinstance(schema, type)
        assert issubclass(schema, BaseModel)
        return schema

    @property
    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema of the input, as planners and people are shown it; nobody's to change."""
        return schema_of(self.schema_model)

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """Its arguments by name."""
        return {name: parameter_of(field) for name, field in self.schema_model.model_fields.items()}

    def faults(self, value: Mapping[str, Any]) -> list[InputFault]:
        """What is wrong with an input; empty where nothing is."""
        try:
            self.schema_model.model_validate(value)
        except ValidationError as invalid:
            return faults_of(invalid)
        return []

    def arguments(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """What it is called with for this input. Raises `UnfitInput`."""
        try:
            model = self.schema_model.model_validate(value)
        except ValidationError as invalid:
            raise UnfitInput(faults_of(invalid)) from invalid
        return {name: getattr(model, name) for name in self.schema_model.model_fields}

    def scope(self, value: Mapping[str, Any]) -> str | None:
        """What a call with this input is about, in words, where it names a set; else None."""
        for argument, every in self.sets.items():
            match value.get(argument):
                case str() as word if is_all(word):
                    return every
                case list() as names:
                    shown = ", ".join(repr(str(name)) for name in names[:_SHOWN])
                    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
                    count = f"{len(names)} {self.noun}{'s' if len(names) > 1 else ''}"
                    return f"{count}: {shown}{more}"
        return None


def is_all(word: str) -> bool:
    """Whether a word, where it stands alone for a set, says all of it."""
    return word.strip().lower() == "all"


def warn_of_repeatable(caller: int = 3) -> None:
    """Say that the former name of `idempotent` was read, so many callers up."""
    words = "`repeatable` is called `idempotent` from now on; the next version reads that only"
    warnings.warn(words, DeprecationWarning, stacklevel=caller)


# How a call ends.


@dataclass(frozen=True)
class Failure:
    """Why a call failed; `retryable` says whether another attempt may succeed."""

    type: str
    message: str
    retryable: bool


@dataclass(frozen=True)
class Outcome:
    """How one call ended.

    `thread_running`: a blocking tool was left behind and may still act. `called`: the tool was
    begun at all. `doubtful`: the failure does not tell whether it acted.
    """

    status: Literal["ok", "error", "timeout"]
    output: Any = None
    failure: Failure | None = None
    thread_running: bool = False
    called: bool = True
    doubtful: bool = False


# Which there are.


class ToolSnapshot(Mapping[str, Tool]):
    """The tools of one moment, which do not change; `version` differs where they do.

    `absent`: servers whose tools are not among them, each with the reason.
    """

    def __init__(self, tools: Mapping[str, Tool], absent: Mapping[str, str]) -> None:
        self._tools = dict(tools)
        self.absent = dict(absent)
        self._restricted = any(tool.owners is not None for tool in self._tools.values())
        self._seen: dict[frozenset[str], ToolSnapshot] = {}

    @cached_property
    def version(self) -> str:
        """What differs where the tools do."""
        return _version(self._tools)

    def __getitem__(self, name: str) -> Tool:
        return self._tools[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tools)

    def __len__(self) -> int:
        return len(self._tools)

    def of(self, owner: str | None) -> "ToolSnapshot":
        """The tools that runs of this owner may call; None may call all."""
        if owner is None or not self._restricted:
            return self
        tools = {
            name: tool
            for name, tool in self._tools.items()
            if tool.owners is None or owner in tool.owners
        }
        # As many as there are sets of servers, not as there are owners.
        names = frozenset(tools)
        if names not in self._seen:
            self._seen[names] = ToolSnapshot(tools, self.absent)
        return self._seen[names]


class Toolbox(Mapping[str, Tool]):
    """The tools as they are now: what is read of it is read of its `snapshot`."""

    def __init__(self, fixed: Mapping[str, Tool]) -> None:
        self._fixed = dict(fixed)
        self._served: dict[str, Mapping[str, Tool]] = {}
        self._awaited: set[str] = set()
        self.arrived = asyncio.Event()
        self.arrived.set()
        self.snapshot = ToolSnapshot(self._fixed, {})

    def __getitem__(self, name: str) -> Tool:
        return self.snapshot[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.snapshot)

    def __len__(self) -> int:
        return len(self.snapshot)

    @property
    def fixed(self) -> Mapping[str, Tool]:
        """The tools that are always there."""
        return self._fixed

    def expect(self, server: str) -> None:
        """The tools of a server are to come soon."""
        self._awaited.add(server)
        self.arrived.clear()
        self._put(server, {}, "it is being connected")

    def put(self, server: str, tools: Mapping[str, Tool], absent: str | None = None) -> None:
        """These are the tools of a server from now on; `absent` says why there are none."""
        self._put(server, tools, absent)
        self._awaited.discard(server)
        if not self._awaited:
            self.arrived.set()

    def _put(self, server: str, tools: Mapping[str, Tool], absent: str | None) -> None:
        self._served[server] = tools
        reasons = dict(self.snapshot.absent)
        reasons.pop(server, None)
        if absent is not None:
            reasons[server] = absent
        every = dict(self._fixed)
        for served in self._served.values():
            every |= served
        self.snapshot = ToolSnapshot(every, reasons)

    @property
    def complete(self) -> bool:
        """Whether none are to come any more."""
        return self.arrived.is_set()


def snapshot(tools: Mapping[str, Tool], owner: str | None = None) -> Mapping[str, Tool]:
    """The tools of this moment for runs of an owner; None is anybody."""
    if isinstance(tools, Toolbox):
        tools = tools.snapshot
    return tools.of(owner) if isinstance(tools, ToolSnapshot) else tools


def version(tools: Mapping[str, Tool]) -> str:
    """What differs where the tools do; a plain mapping never changes."""
    now = snapshot(tools)
    return now.version if isinstance(now, ToolSnapshot) else ""


def to_come(tools: Mapping[str, Tool]) -> bool:
    """Whether there are tools of servers to come, which are being connected for the first time."""
    return isinstance(tools, Toolbox) and not tools.complete


async def arrived(tools: Mapping[str, Tool]) -> None:
    """Wait for the tools that are to come."""
    if isinstance(tools, Toolbox):
        await tools.arrived.wait()


def absence(tools: Mapping[str, Tool], name: str) -> str | None:
    """Why a tool is not there that a server has which is away, or None."""
    now = snapshot(tools)
    if not isinstance(now, ToolSnapshot) or name in now:
        return None
    server = name.partition(".")[0]
    reason = now.absent.get(server)
    return None if reason is None else f"the MCP server {server!r} is not there: {reason}"


def _version(tools: Mapping[str, Tool]) -> str:
    shown = [[name, definition_of(tool), tool.phrases, tool.owners] for name, tool in tools.items()]
    return _hash(shown, 16)


#: What a definition is made of, in its order.
_PARTS = ("description", "input_schema", "effects", "idempotent")


def definition_of(tool: Tool) -> str:
    """Hashes of what a server says of its tool; empty for one of this program."""
    if tool.server is None:
        return ""  # it does not change while the program runs
    said = (tool.description, tool.json_schema, tool.effects, tool.idempotent)
    return "-".join(_hash(part, 8) for part in said)


def changes(before: str, now: str) -> list[str]:
    """In what two definitions of a tool differ."""
    pairs = zip(_PARTS, before.split("-"), now.split("-"), strict=False)
    return [part for part, then, since in pairs if then != since]


def _hash(part: Any, length: int) -> str:
    return sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()[:length]
