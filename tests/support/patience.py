"""How long a test waits before it takes something for hung: longer where the machine is slow.

A deadline of ours is there so that a hang ends, and for nothing else: no test may fail because the
machine is slow. So each is far longer than what it waits for takes, and is multiplied by how slow
the machine is, which is measured once, when the tests start. `TEST_SLOWNESS=8` says it instead.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

_Told = TypeVar("_Told")

_VARIABLE = "TEST_SLOWNESS"

# What the two measurements take on a machine of 2026 that has nothing else to do, s.
_LOOP, _START = 0.08, 0.1

# More is no slow machine but a broken one; nobody waits for days until a hang is told.
_MOST = 30.0


def patience(seconds: float = 60.0) -> float:
    """A deadline of `seconds` on a quick machine, as it is on this one, in seconds."""
    return seconds * SLOWNESS


async def until(true: Callable[[], _Told | Awaitable[_Told]]) -> _Told:
    """Wait until it is true, and return what it told then; fails when that takes too long."""
    end = time.monotonic() + patience()
    while True:
        told = true()
        if isinstance(told, Awaitable):
            told = await told
        if told:
            return cast("_Told", told)
        assert time.monotonic() < end, "it does not become true"
        await asyncio.sleep(0.002)


def wait_until(
    true: Callable[[], _Told | None],
    *,
    every: float = 0.01,
    seconds: float = 60.0,
    otherwise: Callable[[], str] = lambda: "it does not become true",
) -> _Told:
    """The same beside other threads and processes; `otherwise` is what the failure says.

    `seconds` are the patience of a quick machine.
    """
    end = time.monotonic() + patience(seconds)
    while not (told := true()):
        assert time.monotonic() < end, otherwise()
        time.sleep(every)
    return told


def _measured() -> float:
    """How many times as long as on a quick machine a loop and a process's start take; 1 or more."""
    began = time.perf_counter()
    sum(number * number % 7 for number in range(1_000_000))
    looped = time.perf_counter()
    subprocess.run([sys.executable, "-I", "-c", "import asyncio, json"], check=True)
    started = time.perf_counter()
    return min(_MOST, max(1.0, (looped - began) / _LOOP, (started - looped) / _START))


# Measured by the first process of the tests; those that it starts are told.
if _VARIABLE not in os.environ:
    os.environ[_VARIABLE] = f"{_measured():.1f}"

SLOWNESS = float(os.environ[_VARIABLE])
