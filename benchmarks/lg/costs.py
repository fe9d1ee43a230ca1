"""CPU of the server for a run through `/lg`, beside the same run through `/runs`."""

import tempfile

from benchmarks.lg.clients import Run, of_runs, on_thread, seconds_of, streamed, waited
from benchmarks.server import Server

WARM = 30

WAYS: dict[str, Run] = {
    "/runs/wait": of_runs,
    "/lg/runs/wait": waited("/lg"),
    "/lg/threads/…/runs/wait": on_thread("/lg"),
    "/lg/runs/stream, values": streamed("/lg"),
}


def measure(runs: int) -> dict[str, float]:
    """CPU milliseconds of a run each way, and what each is to the first.

    Each way has a server of its own: the list of to-dos that a run shows grows with every run.
    """
    spent = {name: _cpu_ms(run, runs) for name, run in WAYS.items()}
    base = spent["/runs/wait"]
    figures = {f"{name}, CPU-ms": one for name, one in spent.items()}
    return figures | {f"{name} ÷ /runs": one / base for name, one in spent.items()}


def _cpu_ms(run: Run, runs: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder, posts_per_minute="0")
        try:
            seconds_of(server.url, run, WARM, 1)
            before = server.cpu_ms()
            seconds_of(server.url, run, runs, 1)
            return (server.cpu_ms() - before) / runs
        finally:
            server.end()
