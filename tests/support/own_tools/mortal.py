"""A process that kills itself at a named point, once; loaded as a user's own tools would be.

`DIE_AT` is `before` or `after`, a function as `module:name` or `module:Class.name`, and optionally
what its arguments must contain: `after graph.runs.runner:begin`. It dies there when the file that
`ARMED` names exists, which it removes, so that the next process with the same environment lives.
A number in that file is how many times it gets by before.
"""

import inspect
import os
import signal
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

from tools.registry import tool


@tool(effects=False, phrases=["stand by"])
def stand_by() -> str:
    """Do nothing: a server is given this tool for what comes with its import."""
    return "standing by"


def _install(when: str, where: str, told: str) -> None:
    module, _, path = where.partition(":")
    *within, name = path.split(".")
    owner: Any = import_module(module)
    for part in within:
        owner = getattr(owner, part)
    whole = getattr(owner, name)

    def die(at: str, arguments: tuple[Any, ...]) -> None:
        armed = Path(os.environ["ARMED"])
        if when != at or told not in repr(arguments) or not armed.exists():
            return
        if left := int(armed.read_text() or 0):
            armed.write_text(str(left - 1))
        else:
            armed.unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    @wraps(whole)
    async def mortal(*arguments: Any, **named: Any) -> Any:
        die("before", arguments)
        answer = await whole(*arguments, **named)
        die("after", arguments)
        return answer

    @wraps(whole)
    def mortal_at_once(*arguments: Any, **named: Any) -> Any:
        die("before", arguments)
        answer = whole(*arguments, **named)
        die("after", arguments)
        return answer

    awaited = inspect.iscoroutinefunction(whole)
    setattr(owner, name, mortal if awaited else mortal_at_once)


if point := os.environ.get("DIE_AT"):
    _when, _where, *_told = point.split(" ", 2)
    _install(_when, _where, "".join(_told))
