"""What an input is checked for, whatever kind of schema its tool has."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import ValidationError
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
