"""What a run leaves on the disk, and what is written to the log of writes (WAL) for it."""

import os
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import FileIO
from pathlib import Path

from benchmarks.runs.load import Measured, Owners
from benchmarks.server import HERE, Server
from graph.storage.sqlite.connections import PAGE

ONE_STEP = "what is (41*7)+13"
LONG = 200
LONG_PROMPT = ", then ".join(f"calculate {number} + 1" for number in range(LONG))

#: Bytes of a frame of the log: a page and its head.
FRAME = PAGE + 24

#: How many long runs there are, of which each is as many steps.
LONG_RUNS = 3


def one_round(runs: int, checkout: Path = HERE) -> dict[str, float]:
    """Kilobytes of the file per run, of one step and of 200; of the WAL per run of one step."""
    with tempfile.TemporaryDirectory() as folder:
        with _serving(folder, checkout, 1) as started, started.client() as http:
            started.run(http, prompt=ONE_STEP)
        empty = _size(folder)
        with _serving(folder, checkout, runs) as started, started.client() as http:
            for _ in range(runs):
                started.run(http, prompt=ONE_STEP)
        short = _size(folder)
        with _serving(folder, checkout, LONG_RUNS) as started, started.client() as http:
            for _ in range(LONG_RUNS):
                started.run(http, prompt=LONG_PROMPT)
        long = _size(folder)
    figures = {
        "disk per run of one step, kB": (short - empty) / runs / 1000,
        f"disk per run of {LONG} steps, kB": (long - short) / LONG_RUNS / 1000,
    }
    for clients in (1, 16):
        name = f"WAL per run of one step, {clients} client{'s' * (clients > 1)}, kB"
        figures[name] = _wal(runs, clients, checkout) / 1000
    return figures


@contextmanager
def _serving(folder: str, checkout: Path, runs: int) -> Iterator[Measured]:
    owners = Owners(runs)
    server = Server(
        folder,
        checkout=checkout,
        api_keys=owners.setting,
        max_steps=str(LONG),
        max_prompt="100000",
        retention="0",
    )
    try:
        yield Measured(server, owners)
    finally:
        server.end()


def _size(folder: str) -> int:
    """Of a database whose server has ended."""
    return (Path(folder) / "runs.db").stat().st_size


def _wal(runs: int, clients: int, checkout: Path) -> float:
    """Bytes per run that are appended to it: somebody who reads keeps it from being begun anew."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.db"
        with (
            _serving(folder, checkout, runs + 5) as started,
            # Open to the end: closing it would give up this process's locks on it.
            Path(f"{path}-shm").open("rb", buffering=0) as index,
            closing(sqlite3.connect(path, isolation_level=None)) as reader,
        ):
            started.load(5, 1, "waiting", ONE_STEP)
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM runs").fetchall()
            before = _frames(index)
            started.load(runs, clients, "waiting", ONE_STEP)
            return (_frames(index) - before) * FRAME / runs


def _frames(index: FileIO) -> int:
    """The frames that the log has, from its index, in the byte order of the machine."""
    return int.from_bytes(os.pread(index.fileno(), 4, 16), sys.byteorder)
