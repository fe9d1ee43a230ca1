"""A user's own tools, named as `module:function`."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools import calculator, todos
from tools.registry import InvalidTool


def load(name: str) -> Callable[..., Any]:
    """The function behind `module:function`, looked up from the working folder as well.

    Raises `InvalidTool` with what could not be found.
    """
    module_name, _, function_name = name.partition(":")
    if not module_name or not function_name:
        raise InvalidTool(f"{name!r} names no tool; write module:function")
    here = str(Path.cwd())
    if here not in sys.path:  # a console script, unlike `python -m`, does not look there
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
        function = getattr(module, function_name, None)
    except (Exception, SystemExit) as error:  # whatever a user's module does when it is imported
        reason = f"{type(error).__name__}: {error}"
        raise InvalidTool(f"{name!r}: cannot import {module_name!r}: {reason}") from error
    if not callable(function):
        raise InvalidTool(f"{name!r}: {module_name!r} has no function {function_name!r}")
    return function  # type: ignore[no-any-return]  # callable() proves no more


# The tools that come with the package, one line each.


BUILTIN: tuple[Callable[..., Any], ...] = (
    calculator.calculator,
    *todos.TODO_TOOLS,
)
