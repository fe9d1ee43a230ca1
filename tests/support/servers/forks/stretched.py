"""The program with longer fixed waits: `python -m tests.support.servers.forks.stretched`.

What it gives up after a second or two, as a storage that does not answer, it would also give up on
a machine that is just slow. So each such wait is multiplied by how slow the machine is; where it is
quick, all are as they are. A test that is about one of them gives it as it wants it, as
WAIT_SERVER=600.
"""

import gc
import os
import sys


def stretch_waits() -> None:
    """Multiply what the modules of this process wait for."""
    from api.cli import serve, server_run
    from graph.commands import retry
    from graph.queue import executor
    from graph.runs import runner, threads
    from graph.storage.postgres import connection, index, ownership
    from graph.storage.sqlite import connections
    from graph.storage.sqlite import open as opening
    from graph.telemetry import server
    from tests.support.patience import patience
    from tools import invocation

    for module, name in (
        (runner, "CANCEL_WAIT"),
        (executor, "CANCEL_GRACE"),
        (server, "CHECK_TIMEOUT"),
        (invocation, "STOP_GRACE"),
        (threads, "SLOT_SECONDS"),
        (threads, "QUARANTINE_SECONDS"),
        (retry, "END_TIMEOUT"),
        (opening, "BUSY_TIMEOUT"),
        (connections, "BUSY_TIMEOUT"),
        (connection, "CONNECT_TIMEOUT"),
        (connection, "READER_WAIT"),
        (ownership, "LATE"),
        (index, "LONGEST"),
        (serve, "CLOSING"),
        (serve, "REQUEST_GRACE"),
        (server_run, "SILENCE_LIMIT"),
        (server_run, "SILENCE"),
    ):
        setattr(module, name, patience(getattr(module, name)))


def set_waits() -> None:
    """Take over what the environment says of them."""
    from api.app import create_app
    from api.cli import server_run

    if "WAIT_SERVER" in os.environ:
        server_run.SILENCE_LIMIT = float(os.environ["WAIT_SERVER"])
    if "WAIT_HEARTBEAT" in os.environ:
        create_app.__kwdefaults__["heartbeat"] = float(os.environ["WAIT_HEARTBEAT"])


def main() -> int:
    """What `python -m api` does with the same arguments."""
    try:
        gc.disable()  # as there
        stretch_waits()
        set_waits()
        gc.enable()
    except KeyboardInterrupt:
        return 130
    from api.__main__ import main as runwright

    return runwright()


if __name__ == "__main__":
    sys.exit(main())
