"""The order of the house as rules over a tree of packages: floors, doors, and no circle.

Each rule gives what breaks it, one line a breach, so that a test can also plant one.
"""

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

PACKAGES = ("tools", "nodes", "graph", "api")

#: The rooms from the top of the house to its ground: each may import what lies on lower floors, and
#: nothing beside it or above. A room is a module or a folder of a package; `graph.state` is the
#: leaf that all may read.
FLOORS = (
    ("api.__main__",),
    ("api.cli",),
    ("api.app",),
    ("api.console", "api.mcp", "api.lg"),
    ("api.routes",),
    ("api.operations",),
    ("api.schemas",),
    ("api.errors",),
    ("api.streams",),
    ("api.middleware",),
    ("api.views",),
    ("graph.workbench",),
    ("graph.compose",),
    ("graph.service",),
    ("graph.commands", "graph.telemetry"),
    ("graph.runs",),
    ("graph.queue", "graph.models"),
    ("graph.storage",),
    ("graph.build",),
    ("graph.record",),
    ("graph.settings",),
    ("nodes.plan", "nodes.fallback_plan", "nodes.execute_step", "nodes.finalize"),
    ("nodes.answers", "nodes.approval"),
    ("nodes.planning",),
    ("nodes.contract", "nodes.patterns"),
    ("tools",),
    ("graph.state",),
)

#: Where a docstring begins to tell what others may use of its folder.
DOOR = "Others use "


@dataclass(frozen=True)
class Import:
    """One name that one module takes from another, or all of it where the name is empty."""

    by: str
    module: str
    name: str

    @property
    def full(self) -> str:
        """The name with its module."""
        return f"{self.module}.{self.name}" if self.name else self.module


class House:
    """The packages below a folder, as they import one another."""

    def __init__(self, root: Path) -> None:
        self.modules = dict(_modules(root))

    @cached_property
    def imports(self) -> Sequence[Import]:
        """All that one module takes from another."""
        return [one for by, path in self.modules.items() for one in self._read(by, path)]

    @cached_property
    def doors(self) -> Mapping[str, Sequence[str]]:
        """What each folder names that others may use of it."""
        return dict(self._doors())

    def homeless(self) -> list[str]:
        """Modules on no floor."""
        return [one for one in self.modules if one not in PACKAGES and floor_of(one) is None]

    def climbing(self) -> list[str]:
        """Imports of what lies above, or beside."""
        found = []
        for one in self.imports:
            by, module = floor_of(one.by), floor_of(one.module)
            if None not in (by, module) and room_of(one.by) != room_of(one.module):
                found += [f"{one.by} imports {one.module}"] if module <= by else []  # type: ignore[operator]
        return found

    def forced(self) -> list[str]:
        """Imports from outside of a folder that its door does not name."""
        return [
            f"{one.by} imports {one.full} past the door of {folder}"
            for folder, one in self._entering()
            if self._entry(folder, one) is None
        ]

    def stale(self) -> list[str]:
        """What doors name and nobody uses from outside."""
        used = {(folder, self._entry(folder, one)) for folder, one in self._entering()}
        named = [(folder, entry) for folder, entries in self.doors.items() for entry in entries]
        return [f"{folder}: {entry}" for folder, entry in named if (folder, entry) not in used]

    def circles(self) -> list[str]:
        """Modules, and rooms, that import each other, over others or directly."""
        return [*self._circles(str), *self._circles(room_of)]

    def _circles(self, place: Callable[[str], str]) -> list[str]:
        arrows: dict[str, set[str]] = {}
        for one in self.imports:
            by, module = place(one.by), place(one.module)
            if by != module and one.module not in PACKAGES:
                arrows.setdefault(by, set()).add(module)
        return [f"{one} leads to itself" for one in arrows if one in _reached(arrows, one)]

    def _entering(self) -> Iterator[tuple[str, Import]]:
        """Imports of what is in a folder by what is outside; not of what the folder gives away."""
        for one in self.imports:
            for folder in self.doors:
                inside = one.module.startswith(f"{folder}.")
                if inside and not below(one.by, folder):
                    yield folder, one

    def _entry(self, folder: str, one: Import) -> str | None:
        """What of a door lets an import through."""
        place = one.full[len(folder) + 1 :]
        return next((entry for entry in self.doors[folder] if below(place, entry)), None)

    def _doors(self) -> Iterator[tuple[str, Sequence[str]]]:
        for name, path in self.modules.items():
            if path.name == "__init__.py" and "." in name:
                text = " ".join((ast.get_docstring(ast.parse(path.read_text())) or "").split())
                yield name, tuple(re.findall(r"`([\w.]+)`", text.partition(DOOR)[2]))

    def _read(self, by: str, path: Path) -> Iterator[Import]:
        """The imports of our modules, wherever in the file they stand."""
        for node in imports_in(path.read_text()):
            if isinstance(node, ast.Import):
                names = [one.name for one in node.names]
                yield from (Import(by, name, "") for name in names if name in self.modules)
            elif node.module in self.modules:
                for name in (one.name for one in node.names):
                    module = f"{node.module}.{name}"
                    whole = module in self.modules
                    yield Import(by, module, "") if whole else Import(by, node.module, name)


@cache  # trees that differ in a file have all others in common
def imports_in(text: str) -> Sequence[ast.Import | ast.ImportFrom]:
    """The statements of a file that import, also those inside functions."""
    nodes = ast.walk(ast.parse(text))
    return [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]


def room_of(module: str) -> str:
    """The room that a module is in."""
    return "tools" if below(module, "tools") else ".".join(module.split(".")[:2])


def floor_of(module: str) -> int | None:
    """The number of a module's floor, the top one being 0; None where it has no room."""
    room = room_of(module)
    return next((number for number, rooms in enumerate(FLOORS) if room in rooms), None)


def below(name: str, package: str) -> bool:
    """Whether a name is that of a package, or of something in it."""
    return name == package or name.startswith(f"{package}.")


def _modules(root: Path) -> Iterator[tuple[str, Path]]:
    """A package is named as its folder."""
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def _reached(arrows: Mapping[str, set[str]], start: str) -> set[str]:
    reached: set[str] = set()
    frontier = set(arrows.get(start, ()))
    while frontier:
        reached |= frontier
        frontier = {to for one in frontier for to in arrows.get(one, ())} - reached
    return reached
