"""Size on disk per run, before and after retention has removed the runs."""

import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

import httpx

from benchmarks.server import Server

PROMPT = "what is (41*7)+13, then the result plus 6, then add a todo to pay that amount"

#: Days that are over as soon as a run is settled.
AT_END = "0.000001"


def measure(runs: int) -> dict[str, float]:
    """Two generations of runs with three steps each, both removed in the end."""
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.db"
        for number in ("first", "second"):
            empty = path.stat().st_size if path.exists() else 0
            _fill(folder, runs)
            full = path.stat().st_size
            figures[f"{number} generation: growth, KB per run"] = (full - empty) / runs / 1000
            figures[f"{number} generation: file, MB"] = full / 1e6
            figures[f"{number} generation: s to remove {runs}"] = _sweep(folder, path)
            figures[f"{number} generation removed: in use, MB"] = _used(path) / 1e6
            figures[f"{number} generation removed: file, MB"] = path.stat().st_size / 1e6
    return figures


def _fill(folder: str, runs: int) -> None:
    server = Server(folder, retention="0")
    try:
        with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as http:
            for _ in range(runs):
                answer = http.post("/runs/wait", json={"prompt": PROMPT})
                assert answer.json()["status"] == "completed", answer.text
    finally:
        server.end()


def _sweep(folder: str, path: Path) -> float:
    """Seconds from the first run that is gone to the last."""
    kept = began = _kept(path)
    start = time.perf_counter()
    server = Server(folder, retention=AT_END)
    try:
        while kept:
            if kept == began:
                start = time.perf_counter()
            time.sleep(0.005)
            kept = _kept(path)
        return time.perf_counter() - start
    finally:
        server.end()


def _kept(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("SELECT count(*) FROM runs").fetchone()[0])


def _used(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        [(pages,)] = database.execute("PRAGMA page_count")
        [(free,)] = database.execute("PRAGMA freelist_count")
        [(size,)] = database.execute("PRAGMA page_size")
    return int((pages - free) * size)
