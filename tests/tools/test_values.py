"""What tools may return: types are looked at before the first call, values when they are there."""

import asyncio
import collections
import ipaddress
from collections import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import IO, Annotated, Any, Literal, NamedTuple, Never, TypedDict
from uuid import UUID

import pytest
from langgraph.store.memory import InMemoryStore
from pydantic import BaseModel, Field, field_serializer

from tests.support.patience import patience
from tests.support.wording.messages import wording
from tools.invocation import invoke, plain_data
from tools.registry import InvalidTool, ToolCall, check_type, make_tool
from tools.threads import ToolThreads
from tools.toolbox import Outcome, UnfitOutput


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1


class Place(NamedTuple):
    x: int
    y: int


class Row(TypedDict):
    name: str
    inside: "list[Row]"


class Blob(TypedDict):
    data: bytes


@dataclass
class Report:
    title: str
    at: datetime
    tags: set[str] = field(default_factory=set)


@dataclass
class Raw:
    data: bytes


class Node(BaseModel):
    path: Path = Path("a")
    price: Decimal = Decimal("1.50")
    inside: list["Node"] = []
    anything: Any = None


class Tagged(BaseModel):
    tags: set[str] = {"c", "a", "b"}
    inside: list["Tagged"] = []


class Written(BaseModel):
    data: bytes = b"\x01"

    @field_serializer("data")
    def _hex(self, data: bytes) -> str:
        return data.hex()


class Lazy(BaseModel):
    items: abc.Iterable[int]


class Stranger:
    """Nothing that is known to JSON."""


FIT: Sequence[Any] = [
    None,
    Any,
    object,
    Never,
    int | None,
    dict,
    list,
    dict[int, str],
    dict[Colour, list[int]],
    Mapping[str, float],
    Sequence[Row],
    tuple[int, ...],
    collections.Counter[str],
    collections.deque[int],
    Literal["a", "b"],
    Annotated[int, Field(ge=0)],
    Colour,
    Level,
    Place,
    Row,
    Report,
    Node,
    Written,
    list[Node | Report],
    datetime,
    timedelta,
    Decimal,
    Fraction,
    Path,
    UUID,
    ipaddress.IPv4Address,
    set[int],
    frozenset[str],
    set[Colour],
    set[date],
    set[tuple[int, str]],
    abc.Set[int],
]


@pytest.mark.parametrize("hint", FIT)
def test_what_pydantic_writes_as_json_may_be_returned(hint: Any) -> None:
    check_type(hint)


UNFIT: Mapping[str, Sequence[Any]] = {
    "bytes": [bytes, bytearray, memoryview, list[bytes], bytes | None, Raw, Blob, list[Blob]],
    "set": [
        set,
        set[Any],
        set[Node],
        set[str | int],
        frozenset[Place | None],
        dict[str, set[Report]],
    ],
    "iterator": [
        abc.Iterator[int],
        abc.Iterable[int],
        abc.Generator[int, None, None],
        abc.AsyncIterator[int],
        list[abc.Iterator[int]],
        Lazy,
    ],
    "awaitable": [abc.Awaitable[int], abc.Coroutine[Any, Any, int]],
    "function": [Callable[[], int], Callable],
    "keys": [dict[tuple[int, int], str], dict[None, int]],
    "unknown": [Stranger, list[Stranger], asyncio.Lock, IO[str], Exception, range, type, type[int]],
}


@pytest.mark.parametrize(
    ("why", "hint"), [(why, hint) for why, hints in UNFIT.items() for hint in hints]
)
def test_what_could_not_be_kept_is_refused_before_the_first_call(why: str, hint: Any) -> None:
    """With the tool's name, what it says that it returns, and what would be right."""

    def produce() -> None:
        """Produce it."""

    produce.__annotations__["return"] = hint
    with pytest.raises(InvalidTool) as refused:
        make_tool(produce)

    assert str(refused.value).startswith("tool 'produce' returns ")
    assert str(refused.value).endswith(wording(f"tools.output.{why.split()[0]}"))


async def _later() -> int:
    return 1


VALUES: Sequence[tuple[Any, Any]] = [
    (Place(1, 2), [1, 2]),
    (Node(inside=[Node()]), {"path": "a", "price": "1.50", "anything": None}),
    (Written(), {"data": "01"}),
    (Tagged(inside=[Tagged()]), {"tags": ["a", "b", "c"]}),
    (Report("a", datetime(2026, 1, 2, tzinfo=UTC)), {"title": "a", "at": "2026-01-02T00:00:00Z"}),
    ({"at": date(2026, 1, 2), Colour.RED: [Decimal("1.10")]}, {"at": "2026-01-02"}),
    ({1: "a", 2.5: "b"}, {"1": "a", "2.5": "b"}),
    ({UUID(int=0): 1}, {str(UUID(int=0)): 1}),
    ({3, 1, 2}, [1, 2, 3]),
    ({Colour.RED, Colour.BLUE}, ["blue", "red"]),
    ({(2, "a"), (1, "b")}, [[1, "b"], [2, "a"]]),
    ({"a": 1}.keys(), ["a"]),
    (range(3), [0, 1, 2]),
    (collections.deque([Level.LOW]), [1]),
    (MappingProxyType({"a": (1,)}), {"a": [1]}),
    (Fraction(1, 3), "1/3"),
    (timedelta(seconds=3), "PT3S"),
    (ipaddress.ip_address("::1"), "::1"),
]


@pytest.mark.parametrize(("value", "written"), VALUES)
def test_a_value_is_written_as_pydantic_writes_it(value: Any, written: Any) -> None:
    plain = plain_data(value)

    if isinstance(written, dict):
        assert written.items() <= plain.items()
    else:
        assert plain == written


@pytest.mark.parametrize(
    ("why", "value"),
    [
        ("bytes", b"a"),
        ("bytes", {"a": [bytearray(b"a")]}),
        ("bytes", Node(anything=b"\xff")),
        ("set", {1, "a"}),
        ("set", {(1, None), (1, "a")}),
        ("iterator", iter([1])),
        ("iterator", {"a": (n for n in range(3))}),
        ("function", len),
        ("function", Stranger),
        ("keys", {(1, 2): 3}),
        ("keys", {None: 3}),
        ("unknown", Stranger()),
        ("unknown", Node(anything=[Stranger()])),
        ("unknown", ValueError("a")),
    ],
)
def test_a_value_that_no_annotation_has_told_of_is_refused_alike(why: str, value: Any) -> None:
    with pytest.raises(UnfitOutput) as refused:
        plain_data(value)

    assert str(refused.value).endswith(wording(f"tools.output.{why}"))


def test_no_entry_is_lost_where_two_keys_are_the_same_text() -> None:
    with pytest.raises(UnfitOutput) as refused:
        plain_data({1: "a", "1": "b"})

    assert str(refused.value) == wording("tools.output.same-key")


async def returned(function: Callable[..., Any]) -> Outcome:
    call = ToolCall("me", "step-1", InMemoryStore())
    threads = ToolThreads(1)
    return await invoke(make_tool(function), {}, call, timeout=patience(), threads=threads)


async def test_a_call_ends_with_plain_data() -> None:
    def report() -> Report:
        """Report."""
        return Report("a", datetime(2026, 1, 2, tzinfo=UTC), {"y", "x"})

    outcome = await returned(report)

    assert outcome.output == {"title": "a", "at": "2026-01-02T00:00:00Z", "tags": ["x", "y"]}


async def test_a_coroutine_that_nobody_has_declared_is_a_failure_and_leaves_no_warning() -> None:
    def forgotten():  # type: ignore[no-untyped-def]
        """Call something async."""
        return _later()

    outcome = await returned(forgotten)

    assert outcome.failure is not None
    assert (outcome.failure.type, outcome.called) == ("InvalidOutput", True)
    assert outcome.failure.message.endswith(wording("tools.output.awaitable"))


async def test_an_object_that_breaks_when_it_is_looked_at_is_a_failure_of_the_tool() -> None:
    class Odd(dict[str, Any]):
        def items(self) -> Any:
            raise RuntimeError

    def odd() -> dict[str, Any]:
        """Return it."""
        return Odd()

    outcome = await returned(odd)

    assert outcome.failure is not None
    assert (outcome.failure.type, outcome.failure.retryable) == ("InvalidOutput", False)
