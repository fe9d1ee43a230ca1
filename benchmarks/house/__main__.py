"""`python -m benchmarks.house [part …]`: sizes, imports, words, files entered; with their bars.

`--entered cancel` lists the files that a request enters, `--words feed` where a word is
left.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.house import imports, sizes, words
from benchmarks.house.private_words import WORDS
from benchmarks.house.tree import PROJECT

#: At most so much of each figure; the figures without a bar are for comparison.
BARS: Mapping[str, int] = {
    "files beside __init__": 170,
    "longest listing of the packages": 15,
    "longest listing of the tests": 15,
    f"files under {sizes.SHORT} lines": 8,
    "circles of modules": 0,
    "circles of rooms": 0,
    "private words left": 59,
    "entered: POST to plan": 50,
    "entered: cancel": 37,
    "entered: retry": 43,
    "entered: approve": 46,
    "entered: recovery": 30,
    "entered: GET": 22,
}

#: The requests of `entered.py`, by the names that they have here.
REQUESTS: Mapping[str, str] = {
    "plan": "POST to plan",
    "cancel": "cancel",
    "retry": "retry",
    "approve": "approve",
    "recovery": "recovery",
    "get": "GET",
    "stored": "POST to the first step",
    "whole": "POST to the end of the run",
}

#: Packages of which the arrows inside are told.
INSIDE = ("graph", "api")


@dataclass
class Part:
    """What was measured: figures for the table, with a word beside, and what is behind them."""

    figures: dict[str, float | None] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)


def measure_sizes() -> Part:
    measured = sizes.measure(PROJECT)
    short = f"files under {sizes.SHORT} lines"
    place, largest = measured.largest
    packages, tests = measured.listings[0], measured.test_listings[0]
    return Part(
        {
            "files beside __init__": len(measured.modules),
            "lines": measured.lines,
            "lines beside __init__": measured.lines_beside_doors,
            "lines of word tables among them": sum(measured.tables.values()),
            "median file, lines": measured.median,
            "largest file, lines": largest,
            "longest listing of the packages": packages.entries,
            "longest listing of the tests": tests.entries,
            short: len(measured.short),
            f"files over {sizes.LONG} lines": len(measured.long),
        },
        {
            "largest file, lines": place,
            "longest listing of the packages": packages.folder,
            "longest listing of the tests": tests.folder,
            "lines of word tables among them": f"in {len(measured.tables)} files",
        },
        {
            short: measured.short,
            f"files over {sizes.LONG} lines": measured.long,
            "listings": {
                listing.folder: listing.entries
                for listing in measured.listings + measured.test_listings
            },
        },
    )


def measure_imports() -> Part:
    measured = imports.measure(PROJECT)
    return Part(
        {
            "circles of modules": len(measured.circles),
            "circles of rooms": len(measured.room_circles),
            **dict(arrows(measured)),
        },
        data={
            "circles of modules": measured.circles,
            "circles of rooms": measured.room_circles,
            "arrows between rooms": {
                folder: sorted(between) for folder, between in measured.rooms.items()
            },
        },
    )


def arrows(measured: imports.Imports) -> Iterator[tuple[str, int]]:
    """The arrows inside packages, and inside that with the leaf also without those to the leaf."""
    for package in INSIDE:
        yield f"arrows inside {package}, between modules", measured.inside(package)
        yield f"arrows inside {package}, between rooms", measured.between_rooms(package)
        if measured.leaf.startswith(f"{package}."):
            name = f"arrows inside {package}, between rooms but to {measured.leaf}"
            yield name, measured.between_rooms(package, leaf=False)


def measure_words() -> Part:
    found = words.measure(PROJECT)
    return Part(
        {"private words left": len(found)},
        data={"words": words.counts(found), "places": [vars(one) for one in found]},
    )


def measure_entered() -> Part:
    from benchmarks.house import entered  # the whole application, which the other parts can spare

    measured = entered.measure()
    figures = {
        f"entered: {name}": None if (files := measured[request]) is None else len(files)
        for request, name in REQUESTS.items()
    }
    notes = {name: "its mark was not passed" for name, count in figures.items() if count is None}
    return Part(dict(figures), notes, {"entered": measured})


PARTS: Mapping[str, Callable[[], Part]] = {
    "sizes": measure_sizes,
    "imports": measure_imports,
    "words": measure_words,
    "entered": measure_entered,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=[*PARTS], help=f"of {', '.join(PARTS)}")
    parser.add_argument("--json", action="store_true", help="all that was measured, as data")
    parser.add_argument("--entered", choices=REQUESTS, help="list the files that it enters")
    parser.add_argument(
        "--words", choices=[word.name for word in WORDS], help="list the places where it is left"
    )
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    measured = Part()
    for name in PARTS:
        if name in options.parts:
            part = PARTS[name]()
            measured.figures |= part.figures
            measured.notes |= part.notes
            measured.data |= part.data
    if options.json:
        print(json.dumps({"figures": measured.figures, "bars": BARS, **measured.data}, indent=2))
        return
    print_figures(measured)
    print_data(measured.data, request=options.entered, word=options.words)


def print_figures(measured: Part) -> None:
    """One line a figure: what it is, its bar, and whether it is over."""
    width = max(map(len, measured.figures))
    for name, figure in measured.figures.items():
        shown = "?" if figure is None else f"{figure:,g}" if figure % 1 else f"{figure:,.0f}"
        bar = BARS.get(name)
        at_most = "" if bar is None else f"at most {bar}"
        met = bar is None or (figure is not None and figure <= bar)
        note = measured.notes.get(name, "")
        print(f"{name:{width}} {shown:>7}  {at_most:12} {'' if met else 'over':4}  {note}".rstrip())


def print_data(data: Mapping[str, Any], *, request: str | None, word: str | None) -> None:
    """What is behind the figures where a reader wants its names."""
    for name in (f"files under {sizes.SHORT} lines", f"files over {sizes.LONG} lines"):
        if data.get(name):
            print(
                f"\n{name}:", ", ".join(f"{place} {lines}" for place, lines in data[name].items())
            )
    for name in ("circles of modules", "circles of rooms"):
        for circle in data.get(name, ()):
            print(f"\n{name}:", " ⇄ ".join(circle))
    if left := {name: count for name, count in data.get("words", {}).items() if count}:
        print("\nprivate words:", ", ".join(f"{name} {count}" for name, count in left.items()))
    if word is not None:
        print(f"\n{word}:")
        for one in data.get("places", ()):
            if one["word"] == word:
                print(f"  {one['place']}:{one['line']} {one['text']}")
    if request is not None:
        files = data.get("entered", {}).get(request) or []
        print(f"\n{REQUESTS[request]}, in the order of entry:", *files, sep="\n  ")


if __name__ == "__main__":
    main()
