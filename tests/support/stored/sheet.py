"""Sheets: the parts of a snapshot, as texts under titles; kept in files, and compared."""

import difflib
import json
import lzma
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

from tests.support.stored.varying import HEADERS

#: Texts by their titles, in the order in which they were taken.
Sheet = Mapping[str, str]

_MARK = "=== "

#: Files that are larger than this, in characters, are kept compressed.
LARGE = 100_000

#: Titles that differ and lines of one that are shown at most.
TITLES_SHOWN, LINES_SHOWN = 8, 60


def answer_text(answer: httpx.Response) -> str:
    """An answer in whole: status, headers and body."""
    headers = [f"{name}: {value}" for name, value in answer.headers.items() if name not in HEADERS]
    return "\n".join([f"{answer.status_code}", *headers, "", answer.text])


def written(sheet: Sheet) -> str:
    """A sheet as the text of a file."""
    for title, text in sheet.items():
        assert "\n" not in title, title
        assert not text.startswith(_MARK), title
        assert f"\n{_MARK}" not in text, title
    return "".join(f"{_MARK}{title}\n{text}\n" for title, text in sheet.items())


def parsed(text: str) -> Sheet:
    """The sheet that was written as this text."""
    sheet: dict[str, str] = {}
    whole = "\n" + text.removesuffix("\n")
    for entry in whole.split(f"\n{_MARK}")[1:]:
        title, _, sheet[title] = entry.partition("\n")
    return sheet


def keep(sheets: Mapping[str, Sheet], folder: Path) -> None:
    """Write sheets into a folder, in place of those that have the same names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, sheet in sheets.items():
        plain, packed = folder / f"{name}.txt", folder / f"{name}.txt.xz"
        plain.unlink(missing_ok=True)
        packed.unlink(missing_ok=True)
        text = written(sheet)
        if len(text) > LARGE:
            packed.write_bytes(lzma.compress(text.encode()))
        else:
            plain.write_text(text, encoding="utf-8", newline="")


def kept(name: str, folder: Path) -> Sheet:
    """The sheet of this name in a folder."""
    plain = folder / f"{name}.txt"
    if plain.exists():
        return parsed(plain.read_bytes().decode())
    return parsed(lzma.decompress((folder / f"{name}.txt.xz").read_bytes()).decode())


def difference(golden: Sheet, now: Sheet) -> str:
    """What differs, for a person to read; empty where nothing does."""
    if written(golden) == written(now):
        return ""
    titles = [title for title in {**golden, **now} if golden.get(title) != now.get(title)]
    told = [line for title in titles[:TITLES_SHOWN] for line in _differing(title, golden, now)]
    if len(titles) > TITLES_SHOWN:
        told.append(f"… and {len(titles) - TITLES_SHOWN} more:")
        told += [f"  {title}" for title in titles[TITLES_SHOWN:]]
    return "\n".join(told or ["the order of the titles is another"])


def _differing(title: str, golden: Sheet, now: Sheet) -> Iterator[str]:
    yield f"{_MARK}{title}"
    if title not in golden or title not in now:
        yield "is new" if title in now else "is missing"
        return
    before, after = [list(_readable(told)) for told in (golden[title], now[title])]
    if before == after:  # but for the form of a number or of a character
        before, after = golden[title].splitlines(), now[title].splitlines()
    lines = list(difflib.unified_diff(before, after, "golden", "now", lineterm="", n=2))
    yield from lines[:LINES_SHOWN]
    if len(lines) > LINES_SHOWN:
        yield f"… and {len(lines) - LINES_SHOWN} more lines"


def _readable(text: str) -> Iterator[str]:
    """Its lines, and JSON on several, in the order in which its fields are told."""
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            yield line
        else:
            yield from json.dumps(value, ensure_ascii=False, indent=1).splitlines()
