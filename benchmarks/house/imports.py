"""Who imports whom: arrows and circles, between modules and between rooms.

An arrow leads from a module to another one that it imports, anywhere in it, also inside a function
or for the type checker only; several imports of one module are one arrow. What Python loads besides
(the `__init__` of every folder on the way) is no arrow.

The rooms of a folder are its entries: its modules and the folders in it, each with all that is
below. An arrow between two modules is an arrow between the rooms of the innermost folder that has
both; those of one folder that join the same two rooms are one. So while a package is flat, nearly
every arrow between its modules is one between rooms; in a package of folders only those are left
that a reader has to know of.

Circles are the strongly connected components of more than one member: of all modules, and of the
rooms of every folder. Of the packages' own rooms the leaf that packages below may read is one too.
"""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.house.tree import PROJECT, Tree

Arrow = tuple[str, str]


@dataclass(frozen=True)
class Imports:
    """The arrows between modules, by their dotted names, and those of each folder's rooms."""

    modules: frozenset[Arrow]
    rooms: dict[str, frozenset[Arrow]]
    leaf: str

    @property
    def circles(self) -> list[list[str]]:
        """Modules that import each other, directly or through others."""
        return circles(self.modules)

    @property
    def room_circles(self) -> list[list[str]]:
        """Rooms of one folder that import each other, directly or through others."""
        return [circle for folder in sorted(self.rooms) for circle in circles(self.rooms[folder])]

    def inside(self, package: str) -> int:
        """How many arrows there are between the modules of a package."""
        return sum(_below(start, package) and _below(end, package) for start, end in self.modules)

    def between_rooms(self, package: str, *, leaf: bool = True) -> int:
        """How many arrows there are between the rooms of a package itself.

        Without `leaf`, those to the leaf are left out: everybody reads it.
        """
        return sum(leaf or end != self.leaf for _, end in self.rooms.get(package, ()))


def measure(tree: Tree = PROJECT) -> Imports:
    """The imports of all packages."""
    paths = {tree.name(path): path for path in tree.modules()}
    modules = frozenset(
        (name, other)
        for name, path in paths.items()
        for other in _imported(path, paths.keys())
        if other != name
    )
    packages = {name for name, path in paths.items() if path.name == "__init__.py"}
    return Imports(modules, _rooms(modules, packages, tree.leaf), tree.leaf)


def circles(arrows: Iterable[Arrow]) -> list[list[str]]:
    """The strongly connected components that have more than one member, each sorted."""
    forward, backward = defaultdict(set), defaultdict(set)
    for start, end in arrows:
        forward[start].add(end)
        backward[end].add(start)
    found: list[list[str]] = []
    seen: set[str] = set()
    for name in sorted(forward):
        if name not in seen:
            members = _reached(name, forward) & _reached(name, backward)
            seen |= members
            if len(members) > 1:
                found.append(sorted(members))
    return found


def _reached(name: str, arrows: dict[str, set[str]]) -> set[str]:
    reached, ahead = {name}, [name]
    while ahead:
        further = arrows.get(ahead.pop(), set()) - reached
        reached |= further
        ahead += further
    return reached


def _imported(path: Path, known: Iterable[str]) -> Iterator[str]:
    """The modules among those known that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                # `from graph import state` names a module as much as `import graph.state` does.
                whole = f"{node.module}.{alias.name}"
                if whole in known:
                    yield whole
                elif node.module in known:
                    yield node.module


def _rooms(
    modules: Iterable[Arrow], packages: Iterable[str], leaf: str
) -> dict[str, frozenset[Arrow]]:
    rooms: dict[str, set[Arrow]] = defaultdict(set)
    for arrow in modules:
        start, end = (_path_of(name, packages) for name in arrow)
        depth = 0
        while start[depth] == end[depth]:
            depth += 1
        folder = ".".join(start[:depth])
        pair = [".".join(parts[: depth + 1]) for parts in (start, end)]
        if not folder:  # between packages, of which one has the leaf in it
            pair = [
                leaf if _below(name, leaf) else room for name, room in zip(arrow, pair, strict=True)
            ]
        rooms[folder].add((pair[0], pair[1]))
    return {folder: frozenset(arrows) for folder, arrows in rooms.items()}


def _path_of(name: str, packages: Iterable[str]) -> list[str]:
    """The names on the way to a module; what a folder says itself is its entry `__init__`."""
    return [*name.split("."), *(["__init__"] if name in packages else [])]


def _below(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")
