"""What the stored runs come to that were not finished, when a server goes on with them."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.servers.server_process import ServerProcess
from tests.support.stored.sheet import Sheet, answer_text
from tests.support.stored.stored_runs import OWNERS, unpack
from tests.support.stored.stored_server import SETTLED, Owner, run_ids, stored_server
from tests.support.stored.varying import FRESH, Ids, alike

#: How long they may take together, in seconds; on a quiet machine it is one.
PATIENCE = 60


def resumption_sheet(folder: Path) -> Sheet:
    """How each run ends, with its events; then what all of them have done, and the log as JSON."""
    unpack("unfinished", folder)
    with stored_server(folder, log="json") as server:
        owners = [Owner(server, name) for name in OWNERS]
        runs = [(owner, run_id) for owner in owners for run_id in run_ids(owner)]
        ids = Ids(run_id for _, run_id in runs)
        _await_rest(owners)
        sheet = {
            f"{owner.name}: {path}": ids.alike(alike(text, FRESH))
            for owner, run_id in runs
            for path, text in _told(owner, run_id).items()
        }
        for owner in owners:
            listed = owner.run("show my list")["result"]["output"]
            # They were added at once, in an order that nobody knows.
            sheet[f"{owner.name}: to-dos"] = "\n".join(sorted(todo["text"] for todo in listed))
        owners[0].run("charge 13 to Ann")
        server.terminate()
    logs = {f"log of {one}": _log_of(server, lambda line, one=one: one in line) for _, one in runs}
    rest = _log_of(server, lambda line: "run_id" not in line)
    return {**sheet, **logs, "log of the server": ids.alike(rest)}


def _await_rest(owners: list[Owner]) -> None:
    deadline = time.monotonic() + PATIENCE
    for owner in owners:
        while busy := owner.get("/runs", status=["pending", "running"])["runs"]:
            assert time.monotonic() < deadline, busy
            time.sleep(0.05)


def _told(owner: Owner, run_id: str) -> dict[str, str]:
    """Record, events and all of the explanation but how the time is divided."""
    path = f"/runs/{run_id}"
    record = owner.ask("GET", path)
    explained: dict[str, Any] = owner.get(f"{path}/explain")
    causes = {name: explained[name] for name in ("status", "retries", "causes")}
    if record.json()["status"] in SETTLED:  # what it was, and who else did what meanwhile
        causes["sentences"] = explained["sentences"][2:]
    return {
        f"GET {path}": answer_text(record),
        f"GET {path}/events": answer_text(owner.ask("GET", f"{path}/events")),
        f"GET {path}/explain": json.dumps(causes, ensure_ascii=False, indent=1),
    }


def _log_of(server: ServerProcess, told: Callable[[str], bool]) -> str:
    """The lines about one run, or about none: those of several runs come in any order."""
    return alike("\n".join(filter(told, server.lines)), FRESH)
