"""The tools that come with the package, one line each."""

from collections.abc import Callable
from typing import Any

from tools import calculator, todos

BUILTIN: tuple[Callable[..., Any], ...] = (
    calculator.calculator,
    *todos.TODO_TOOLS,
)
