"""What the program does with stored and fresh runs, through its public faces, as a snapshot.

A restructuring that changes nothing leaves it as it is, byte for byte.

    python -m tests.support.stored.comparison                     compares with the golden files
    python -m tests.support.stored.comparison --against FOLDER    compares with another snapshot
    python -m tests.support.stored.comparison --write FOLDER      makes one
    python -m tests.support.stored.comparison --part fresh        one part; more can be named
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.runs.notebook_run import executed, stored
from tests.support.servers.server_process import ServerProcess
from tests.support.stored.command_lines import beside_sheet, commands_sheet, watching_sheet
from tests.support.stored.drawings import notebook_sheet, studio_sheet
from tests.support.stored.fresh_runs import fresh_sheet
from tests.support.stored.resumption import resumption_sheet
from tests.support.stored.sheet import Sheet, difference, keep, kept
from tests.support.stored.stored_answers import (
    history_sheet,
    runs_sheet,
    search_sheet,
    server_sheet,
)
from tests.support.stored.stored_runs import unpack
from tests.support.stored.stored_server import settled_or_waiting, stored_server
from tests.support.stored.wrong_calls import SITE, calls_sheet

#: What today's program was when the database was stored.
GOLDEN = Path(__file__).parent / "golden"


#: What a server is asked about the stored runs that rest, all of which it leaves as they are.
READ: Mapping[str, Callable[[ServerProcess], Sheet]] = {
    "server": server_sheet,
    "runs": runs_sheet,
    "search": search_sheet,
    "calls": calls_sheet,
}


def stored_sheets(folder: Path) -> Mapping[str, Sheet]:
    """What is told of the stored runs that rest, and what a server over them refuses."""
    unpack("settled", folder)
    with stored_server(folder, cors_origins=SITE) as server:
        settled, waiting = settled_or_waiting(server)
        with ThreadPoolExecutor(2) as readers:  # one asks while another is answered
            read = {name: readers.submit(sheet, server) for name, sheet in READ.items()}
        sheets = {name: sheet.result() for name, sheet in read.items()}
        beside = beside_sheet(server, folder)  # last, since it adds runs
        server.terminate()
    watching = watching_sheet(folder, settled, waiting[0])
    return {**sheets, "beside": beside, "watching": watching}


def stored_history(folder: Path) -> Mapping[str, Sheet]:
    """Every checkpoint of the stored runs that rest."""
    unpack("settled", folder)
    with stored_server(folder, cors_origins=SITE) as server:
        return {"history": history_sheet(server)}


#: What makes each part of a snapshot, in a folder of its own.
PARTS: Mapping[str, Callable[[Path], Mapping[str, Sheet]]] = {
    "stored": stored_sheets,
    "history": stored_history,
    "unfinished": lambda folder: {"resumption": resumption_sheet(folder)},
    "fresh": lambda folder: {"fresh": fresh_sheet(folder)},
    "commands": lambda folder: {"commands": commands_sheet(folder)},
    "studio": lambda folder: {"studio": studio_sheet(folder)},
    "notebook": lambda folder: {"notebook": notebook_sheet(executed(stored(), folder))},
}


def snapshot(folder: Path, parts: Iterable[str] = PARTS) -> Mapping[str, Sheet]:
    """The sheets of these parts by their names; `folder` is for databases, and empty."""
    sheets: dict[str, Sheet] = {}
    for part in parts:
        own = folder / part
        own.mkdir()
        sheets |= PARTS[part](own)
    return sheets


def compared(sheets: Mapping[str, Sheet], golden: Path = GOLDEN) -> str:
    """What differs from the golden files, for a person to read; empty where nothing does."""
    told = {name: difference(kept(name, golden), sheet) for name, sheet in sheets.items()}
    return "\n".join(f"##### {name}\n{text}" for name, text in told.items() if text)


def _main() -> int:
    parser = argparse.ArgumentParser(description="Compare what the program does with a snapshot.")
    parser.add_argument("--against", type=Path, default=GOLDEN, help="the snapshot's folder")
    parser.add_argument("--write", type=Path, help="make a snapshot in this folder instead")
    parser.add_argument("--part", action="append", choices=PARTS, help="all by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sheets = snapshot(Path(folder), options.part or PARTS)
    if options.write:
        keep(sheets, options.write)
        return 0
    told = compared(sheets, options.against)
    sys.stdout.write(told or f"the same as {options.against}\n")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(_main())
