"""What the program does with stored and fresh runs, through its public faces, as a snapshot.

A restructuring that changes nothing leaves it as it is, byte for byte.

    python -m tests.support.stored.comparison                     compares with the golden files
    python -m tests.support.stored.comparison --against FOLDER    compares with another snapshot
    python -m tests.support.stored.comparison --write FOLDER      makes one
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.support.stored.sheet import Sheet, difference, keep, kept
from tests.support.stored.stored_answers import (
    history_sheet,
    runs_sheet,
    search_sheet,
    server_sheet,
)
from tests.support.stored.stored_runs import unpack
from tests.support.stored.stored_server import stored_server

#: What today's program was when the database was stored.
GOLDEN = Path(__file__).parent / "golden"


def stored_sheets(folder: Path) -> Mapping[str, Sheet]:
    """What is told of the stored runs that rest."""
    unpack("settled", folder)
    with stored_server(folder) as server:
        return {
            "server": server_sheet(server),
            "runs": runs_sheet(server),
            "history": history_sheet(server),
            "search": search_sheet(server),
        }


def snapshot(folder: Path) -> Mapping[str, Sheet]:
    """All sheets by their names; `folder` is for databases, and empty."""
    return {**stored_sheets(folder)}


def compared(sheets: Mapping[str, Sheet], golden: Path = GOLDEN) -> str:
    """What differs from the golden files, for a person to read; empty where nothing does."""
    told = {name: difference(kept(name, golden), sheet) for name, sheet in sheets.items()}
    return "\n".join(f"##### {name}\n{text}" for name, text in told.items() if text)


def _main() -> int:
    parser = argparse.ArgumentParser(description="Compare what the program does with a snapshot.")
    parser.add_argument("--against", type=Path, default=GOLDEN, help="the snapshot's folder")
    parser.add_argument("--write", type=Path, help="make a snapshot in this folder instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sheets = snapshot(Path(folder))
    if options.write:
        keep(sheets, options.write)
        return 0
    told = compared(sheets, options.against)
    sys.stdout.write(told or f"the same as {options.against}\n")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(_main())
