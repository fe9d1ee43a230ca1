"""The files that the measures are about."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("graph", "nodes", "tools", "api")

#: The one part of a package that a package below it may import, as the test of imports has it.
LEAF = "graph.state"


@dataclass(frozen=True)
class Tree:
    """A project's root, its packages, and which subpackage of them all others may read."""

    root: Path
    packages: tuple[str, ...] = PACKAGES
    leaf: str = LEAF

    def modules(self) -> list[Path]:
        """Every Python file of the packages."""
        return sorted(path for package in self.packages for path in self._below(package, "*.py"))

    def tables(self) -> list[Path]:
        """Every word table of the packages: what is data and not code."""
        return sorted(path for package in self.packages for path in self._below(package, "*.txt"))

    def folders(self, top: str) -> list[Path]:
        """A folder and all that are below it, without those of caches."""
        found = [self.root / top, *(path for path in self._below(top, "*") if path.is_dir())]
        return sorted(path for path in found if path.exists())

    def entries(self, folder: Path) -> list[Path]:
        """What a folder has in it: files of any kind and folders, but no `__init__`."""
        return sorted(
            path
            for path in folder.iterdir()
            if path.name != "__init__.py" and is_shown(path.relative_to(self.root))
        )

    def pages(self) -> list[Path]:
        """What is written for readers: the README and the pages of `docs`."""
        return sorted([*self.root.glob("README.md"), *self.root.glob("docs/*.md")])

    def place(self, path: Path) -> str:
        """A path as it is named in the project."""
        return path.relative_to(self.root).as_posix()

    def name(self, path: Path) -> str:
        """The dotted name of a module; that of a package for its `__init__`."""
        parts = path.relative_to(self.root).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def _below(self, top: str, pattern: str) -> Iterator[Path]:
        found = (self.root / top).rglob(pattern)
        return (path for path in found if is_shown(path.relative_to(self.root)))


def is_shown(place: Path) -> bool:
    """Whether somebody who lists the project sees it: nothing hidden, nothing of a cache."""
    return not any(part == "__pycache__" or part.startswith(".") for part in place.parts)


#: The project that this file belongs to.
PROJECT = Tree(Path(__file__).resolve().parents[2])
