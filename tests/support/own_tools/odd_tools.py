"""Tools whose arguments are of every shape that a function can declare."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Tag(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    weight: float = 1.0


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str] = []


class Folder(BaseModel):
    name: str
    inside: list["Folder"] = []


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: str


def paint(
    colour: Colour,
    times: Annotated[int, Field(ge=1, le=9, description="how often", examples=[2])],
    title: str = "untitled",
    format: Literal["wide", "tall"] | None = None,  # noqa: A002
    glossy: bool = False,
) -> str:
    """Paint it."""
    return title


def label(tags: list[Tag], main: Tag | None = None, names: list[str | int] | None = None) -> str:
    """Label it."""
    return str(tags)


def subscription(
    pet: Annotated[Cat | Dog, Field(discriminator="kind")], grams: int | str = 5
) -> str:
    """Feed it."""
    return str(pet)


def rest() -> str:
    """Do nothing."""
    return ""


def remember(facts: dict[str, Any]) -> str:
    """Keep facts of any shape."""
    return str(facts)


def count(words: dict[str, int]) -> int:
    """Count words whose names nobody knows before."""
    return len(words)


def keep(thing: Any) -> str:
    """Keep anything."""
    return str(thing)


def collect(things: list) -> str:  # type: ignore[type-arg]
    """Collect anything."""
    return str(things)


def pair(place: tuple[int, str]) -> str:
    """Take a pair, which strict modes have no form for."""
    return str(place)


def file(folder: Folder) -> str:
    """Put a folder away, with the ones inside it."""
    return folder.name


def adopt(pet: Loose) -> str:
    """Adopt whatever it is like."""
    return pet.name


CLOSED = (paint, label, subscription, rest)
OPEN = (remember, count, keep, collect, pair, file, adopt)
