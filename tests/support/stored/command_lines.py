"""What the `runwright` command says: to runs of its own, to stored ones, and beside a server."""

import os
from collections.abc import Iterator, Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.support.checkout import ROOT
from tests.support.servers.commands.call import call
from tests.support.servers.server_process import ServerProcess, runwright
from tests.support.stored.sheet import Sheet
from tests.support.stored.stored_runs import API_KEYS, KEYS, TOOLS_AFTERWARDS
from tests.support.stored.stored_server import Owner
from tests.support.stored.varying import TERMINAL, Ids, alike

COMMANDS = ("serve", "run", "watch", "approve", "reject", "backup", "doctor", "key", "key new")

TASKS = (
    "Add a todo to buy milk, then show me all my tasks",
    "fail 2 times, then 2 + 2",
    "charge 13 to Ann, then 2 + 2",
    "what's the capital of France, and add a todo to visit it",
    "forecast for Zürich",
)

#: Settings that a server refuses to start with.
WRONG = (
    {"port": "http", "step_timeout": "-1", "log": "xml"},
    {"tools": "nowhere:nothing"},
    {"tools": "examples.flaky"},
    {"database_url": "mysql://localhost/runs"},
    {"models": '["gpt"]'},
    {"api_keys": "alice"},
    {"host": "0.0.0.0", "api_keys": ""},
    {"unknown": "1", "retention": "for ever", "cors_origins": "example"},
)


class _Terminal:
    """Calls the command over one database, and tells what it wrote without what varies."""

    def __init__(self, folder: Path, known: Sequence[str] = (), **settings: str) -> None:
        self.folder = folder
        self._settings = {"api_keys": API_KEYS, "tools": TOOLS_AFTERWARDS, "backoff": "0.01"}
        self._settings |= {"api_key": KEYS["alice"], **settings}
        self._ids = Ids(known)

    def __call__(self, *arguments: str) -> tuple[str, str]:
        done = call(*arguments, folder=self.folder, **self._settings)
        return self._told(arguments, done.returncode, done.stdout, done.stderr)

    def process(self, *arguments: str) -> tuple[str, str]:
        """The same in a process of its own, for what leaves something behind in this one."""
        done = runwright(*arguments, folder=self.folder, **self._settings)
        return self._told(arguments, done.returncode, done.stdout, done.stderr)

    def _told(
        self, arguments: Sequence[str], code: int, output: str, complaints: str
    ) -> tuple[str, str]:
        title = " ".join(["runwright", *(argument or "''" for argument in arguments)])
        text = f"exit code {code}\n--- output\n{output}--- complaints\n{complaints}"
        text = text.replace(str(self.folder), "FOLDER").replace(str(ROOT), "CHECKOUT")
        title = title.replace(str(self.folder), "FOLDER")
        return self._ids.alike(title), self._ids.alike(alike(text, TERMINAL))


def commands_sheet(folder: Path) -> Sheet:
    """What is said of runs of its own, of settings and of itself; `folder` is empty."""
    with _plain_terminal():
        return dict(_fresh(folder))


def beside_sheet(server: ServerProcess, folder: Path) -> Sheet:
    """What is said beside a server over the stored runs in `folder`, to which some are added."""
    with _plain_terminal():
        return dict(_beside(_Terminal(folder), Owner(server, "alice")))


def watching_sheet(folder: Path, settled: Sequence[str], waiting: str) -> Sheet:
    """How stored runs are watched that no server has."""
    terminal = _Terminal(folder, [*settled, waiting])
    with _plain_terminal():
        return dict(
            [
                *(terminal("watch", run_id) for run_id in (*settled, waiting, "none")),
                terminal("watch", settled[0], "--json"),
                terminal("approve", waiting),
                terminal("reject", waiting, "--reason", "no"),
            ]
        )


def _plain_terminal() -> Any:
    return patch.dict(os.environ, {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"})


def _fresh(folder: Path) -> Iterator[tuple[str, str]]:
    terminal = _Terminal(folder)
    yield terminal("watch", "00000000-0000-4000-8000-000000000000")  # there is no database yet
    for task in TASKS:
        yield terminal("run", task)
        yield terminal("run", task, "--json")
    yield terminal("run", "")
    yield terminal("key", "new", "carol")
    yield terminal("key", "new", "no name")
    yield terminal("backup", str(folder / "copy.db"))
    yield terminal("backup", str(folder / "copy.db"))
    yield terminal.process("doctor", "--json")
    for settings in WRONG:
        wrong = _Terminal(folder, **settings)
        title, text = wrong("serve")
        yield f"{title} {settings}", text
        with chdir(folder):  # where there is no graph to be loaded
            yield f"runwright doctor {settings}", wrong("doctor")[1]
    for command in COMMANDS:
        yield terminal(*command.split(), "--help")
    yield terminal("walk")


def _beside(terminal: _Terminal, alice: Owner) -> Iterator[tuple[str, str]]:
    """The same commands, which find that a server has the database."""

    def told(name: str, *arguments: str) -> tuple[str, str]:
        title, text = terminal(*arguments)
        return f"beside a server, {name}: {title}", text

    yield told("its run", "run", TASKS[1])
    yield told("its record", "run", "2 + 2", "--json")
    for act, more in (("approve", ()), ("reject", ("--reason", "no")), ("approve", ("--url", "x"))):
        run_id = alice.run("add todo decide, then 2 + 2", mode="plan")["run_id"]
        yield told("a decision", act, run_id, *more)
        alice.rested(run_id)
        if not more or act == "reject":
            yield told("after it", "watch", run_id)
            yield told("once more", act, run_id)
    yield told("nothing", "watch", "none")
    yield told("another server", "serve")
    yield told("a copy", "backup", str(terminal.folder / "copy.db"))
