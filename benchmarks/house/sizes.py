"""How large files and folders are."""

import statistics
from dataclasses import dataclass
from pathlib import Path

from benchmarks.house.tree import PROJECT, Tree

#: A file under the first wants a home, one over the second wants to be parted; in lines.
SHORT, LONG = 60, 400

#: Files whose name is not theirs to choose: they are as short as they are.
NAMED_BY_PYTHON = frozenset({"__init__.py", "__main__.py"})

TESTS = "tests"


@dataclass(frozen=True)
class Listing:
    """What somebody sees who lists a folder, but for its `__init__`."""

    folder: str
    entries: int

    def __str__(self) -> str:
        return f"{self.entries} ({self.folder})"


@dataclass(frozen=True)
class Sizes:
    """Sizes of Python files by their place, in lines; those of word tables in `tables`."""

    modules: dict[str, int]
    doors: dict[str, int]
    tables: dict[str, int]
    listings: list[Listing]
    test_listings: list[Listing]

    @property
    def lines(self) -> int:
        """All lines, those of `__init__` and of word tables with them."""
        return self.lines_beside_doors + sum(self.doors.values())

    @property
    def lines_beside_doors(self) -> int:
        """All lines but those of `__init__`."""
        return sum(self.modules.values()) + sum(self.tables.values())

    @property
    def median(self) -> float:
        """The median module, in lines."""
        return statistics.median(self.modules.values()) if self.modules else 0

    @property
    def largest(self) -> tuple[str, int]:
        """The largest module."""
        return max(self.modules.items(), key=lambda item: item[1], default=("", 0))

    @property
    def short(self) -> dict[str, int]:
        """Modules of less than `SHORT` lines, the shortest first."""
        few = {
            place: lines
            for place, lines in self.modules.items()
            if lines < SHORT and Path(place).name not in NAMED_BY_PYTHON
        }
        return dict(sorted(few.items(), key=lambda item: item[1]))

    @property
    def long(self) -> dict[str, int]:
        """Modules of more than `LONG` lines."""
        return {place: lines for place, lines in self.modules.items() if lines > LONG}


def measure(tree: Tree = PROJECT) -> Sizes:
    """The sizes of everything in the packages, and the listings of the tests."""
    files = {tree.place(path): _lines(path) for path in tree.modules()}
    doors = {place for place in files if Path(place).name == "__init__.py"}
    return Sizes(
        modules={place: lines for place, lines in files.items() if place not in doors},
        doors={place: files[place] for place in sorted(doors)},
        tables={tree.place(path): _lines(path) for path in tree.tables()},
        listings=_longest_first(tree, *tree.packages),
        test_listings=_longest_first(tree, TESTS),
    )


def _longest_first(tree: Tree, *tops: str) -> list[Listing]:
    listings = [
        Listing(tree.place(folder), len(tree.entries(folder)))
        for top in tops
        for folder in tree.folders(top)
    ]
    return sorted(listings, key=lambda listing: (-listing.entries, listing.folder))


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines())
