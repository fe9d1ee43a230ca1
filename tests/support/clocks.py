"""The clocks of a process, which a test may put forward: what is waited for comes when it says."""

import asyncio
import time
from collections.abc import Callable

import pytest


class Clocks:
    """`time.time`, `time.perf_counter`, and `time.monotonic`, by which event loops go as well.

    What is due by then happens as soon as the test waits for anything.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._ahead = 0.0
        self._patch = patch
        for name in ("time", "monotonic", "perf_counter"):
            patch.setattr(time, name, self._clock(getattr(time, name)))

    def _clock(self, real: Callable[[], float]) -> Callable[[], float]:
        return lambda: real() + self._ahead

    def stop(self) -> None:
        """Let time pass, and work take time, only where `forward` says so; deadlines still pass."""
        for name in ("time", "perf_counter"):
            stood = getattr(time, name)() - self._ahead
            self._patch.setattr(time, name, lambda stood=stood: stood + self._ahead)

    def forward(self, seconds: float) -> None:
        """Let so many seconds have passed."""
        self._ahead += seconds


class StandingClock:
    """A clock that stands still unless `now` is set; in seconds."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def settle() -> None:
    """Let everything go as far as it goes without waiting for threads or time."""
    for _ in range(20):
        await asyncio.sleep(0)
