"""The files of pins: what is in them, and what that weighs where it is installed."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


@dataclass(frozen=True)
class Pin:
    """One version of a package; `hashes` are those of its files, of which one is installed."""

    version: str
    marker: Marker | None
    hashes: frozenset[str]

    @property
    def is_for_here(self) -> bool:
        """Whether it is for this platform and this Python."""
        return self.marker is None or self.marker.evaluate()


def read_pins(file: Path) -> dict[str, Pin]:
    """Every pin of a file, by the package's name."""
    found = {}
    for block in re.findall(r"(?m)^[a-z0-9][^#]*", file.read_text()):
        named = Requirement(block.partition("\\")[0])
        (one,) = named.specifier
        assert one.operator == "==", named
        hashes = frozenset(re.findall(r"--hash=(sha256:[0-9a-f]{64})", block))
        found[named.name] = Pin(one.version, named.marker, hashes)
    return found


def for_here(pins: Mapping[str, Pin]) -> set[str]:
    """The names of those that are installed on this platform."""
    return {name for name, pin in pins.items() if pin.is_for_here}


def megabytes(names: Iterable[str]) -> float:
    """What the packages have on the disk of this environment, compiled files too."""
    return sum(map(_size, names)) / 1e6


@cache
def _size(name: str) -> int:
    """In bytes; there are thousands of files to look at."""
    files = (Path(str(file.locate())) for file in distribution(name).files or ())
    return sum(file.stat().st_size for file in files if file.exists())


def needed(requirements: Iterable[str]) -> set[str]:
    """The names of the packages that these requirements need here, as what is installed says."""
    seen: set[tuple[str, str]] = set()
    left = [Requirement(one) for one in requirements]
    while left:
        one = left.pop()
        if one.marker is not None and not one.marker.evaluate():
            continue
        name = canonicalize_name(one.name)
        for extra in {"", *one.extras}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            for text in distribution(name).requires or ():
                required = Requirement(text)
                if required.marker is None or required.marker.evaluate({"extra": extra}):
                    required.marker = None
                    left.append(required)
    return {name for name, _ in seen}
