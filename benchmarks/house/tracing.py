"""Which source files are entered while something happens, in every thread."""

import asyncio
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from benchmarks.house.tree import PROJECT, Tree

#: How long nothing of ours may have been entered for the application to be at rest, in seconds.
QUIET = 0.25


@dataclass(frozen=True)
class Mark:
    """A moment on the way: when a function of this name in this file is called, or returns."""

    name: str
    place: str
    function: str
    event: str = "call"


@dataclass
class Entered:
    """The files that were entered, in that order, each with the function that it was entered by.

    `before` has for each mark that was passed how many files were entered before it.
    """

    files: dict[str, str] = field(default_factory=dict)
    before: dict[str, int] = field(default_factory=dict)

    def until(self, mark: Mark) -> list[str] | None:
        """The files entered before a mark; None where it was not passed."""
        count = self.before.get(mark.name)
        return None if count is None else list(self.files)[:count]


class Tracer:
    """Notes the first entry into each file of a tree's packages, while it is told to.

    A file is entered when a frame of it starts or goes on: a function, a method, a lambda or a
    comprehension that is called, and a coroutine or generator that is resumed, in any thread that
    was started after this. A file that is only imported, and every `__init__`, does not count.
    """

    def __init__(self, marks: Sequence[Mark] = (), tree: Tree = PROJECT) -> None:
        self._tree = tree
        self._marks = {(mark.place, mark.function, mark.event): mark.name for mark in marks}
        self._places: dict[str, str | None] = {}
        self._entered: Entered | None = None
        self._ignored: asyncio.Task[Any] | None = None
        self._entries = 0

    @contextmanager
    def installed(self) -> Iterator["Tracer"]:
        """Look at all that is called in this thread, and in those that start meanwhile."""
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)
        try:
            yield self
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    @contextmanager
    def noting(self, *, ignored: asyncio.Task[Any] | None = None) -> Iterator[Entered]:
        """What is entered in the block.

        What the `ignored` task enters itself does not count; what it starts does.
        """
        self._entered, self._ignored = entered, _ = Entered(), ignored
        try:
            yield entered
        finally:
            self._entered = self._ignored = None

    def ignore_nothing(self) -> None:
        """Let what the ignored task enters from now on count as well."""
        self._ignored = None

    async def quiet(self) -> None:
        """Wait until nothing has been entered for a while."""
        entries = -1
        while entries != self._entries:
            entries = self._entries
            await asyncio.sleep(QUIET)

    def _profile(self, frame: FrameType, event: str, _: object) -> None:
        if event not in ("call", "return"):
            return
        code = frame.f_code
        place = self._place(code.co_filename)
        if place is None or code.co_name == "<module>":
            return
        self._entries += 1
        if self._entered is None or self._is_ignored():
            return
        if mark := self._marks.get((place, code.co_name, event)):
            self._entered.before.setdefault(mark, len(self._entered.files))
        self._entered.files.setdefault(place, code.co_name)

    def _place(self, filename: str) -> str | None:
        if filename not in self._places:
            self._places[filename] = self._named(filename)
        return self._places[filename]

    def _named(self, filename: str) -> str | None:
        root = f"{self._tree.root}/"
        place = filename.removeprefix(root)
        ours = filename.startswith(root) and place.split("/")[0] in self._tree.packages
        return place if ours and not place.endswith("/__init__.py") else None

    def _is_ignored(self) -> bool:
        if self._ignored is None or threading.current_thread() is not threading.main_thread():
            return False
        return asyncio.current_task() is self._ignored
