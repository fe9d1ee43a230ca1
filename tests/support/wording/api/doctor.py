"""What the doctor finds, and how it says to mend it: `message; mend`."""

import asyncio
import os
import re
import shutil
import socket
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from api.cli.doctor.database import check_database
from api.cli.doctor.doctor import read_configuration
from api.cli.doctor.finding import Finding
from api.cli.doctor.graph import check_studio, check_tools
from api.cli.doctor.models import check_models
from api.cli.doctor.network import check_exposure_of, check_port
from graph.models.client import LiteLlmModel
from graph.models.prices import ModelFacts
from graph.settings import Settings, read_settings
from graph.settings.keys import Key
from graph.storage.open import open_storage
from graph.storage.sqlite.schema import APPLICATION_ID, VERSION
from nodes.planning.model import Completion, ModelFailure
from tests.support.servers.command_call import call
from tests.support.wording.messages import masked

_OURS = f"PRAGMA application_id = {APPLICATION_ID}"

#: Databases by what is wrong with them, and how they are made.
DATABASES: Mapping[str, tuple[str, ...]] = {
    "foreign": ("CREATE TABLE notes (text)",),
    "newer": (_OURS, "CREATE TABLE runs (x)", "PRAGMA user_version = 999"),
    "older": (_OURS, "CREATE TABLE runs (x)", "PRAGMA user_version = 1"),
    "damaged": (_OURS, "CREATE TABLE other (x)", f"PRAGMA user_version = {VERSION}"),
}

#: Files of `langgraph dev` that name no graph, or one that cannot be loaded.
GRAPHS: Mapping[str, str] = {
    "json": "{",
    "no-graphs": "{}",
    "none": '{"graphs": {}}',
    "refused": '{"graphs": {"a": "graph.studio:graph"}}',
    "refused.app": (
        '{"dependencies": ["."], "graphs": {"a": "graph.studio:graph"}, "http": {"app": "x"}}'
    ),
    "place": '{"graphs": {"a": "no_colon"}}',
    "module": '{"graphs": {"a": "no.such:graph"}}',
    "missing": '{"graphs": {"a": "graph.studio:nothing"}}',
    "kind": '{"graphs": {"a": "./made.py:number"}}',
    "broken": '{"graphs": {"a": {"path": "./broken.py:graph"}}}',
}

_FACTS: Mapping[str, tuple[str, ModelFacts]] = {
    "provider": ("nonsense/model", ModelFacts(False, None, None, ())),
    "key": ("openai/x", ModelFacts(True, True, None, ("MY_KEY",))),
    "variable": ("groq/x", ModelFacts(True, True, None, ("MY_PLACE",))),
    "ollama": ("ollama/x", ModelFacts(True, None, None, ())),
    "alike": ("openai/gpt-5-mimi", ModelFacts(True, False, "gpt-5-mini", ())),
    "unknown": ("openai/own", ModelFacts(True, False, None, ())),
    "ok": ("openai/x", ModelFacts(True, True, None, ())),
}

_FAILURES = (
    "bad_request",
    "client_unavailable",
    "forbidden",
    "no_api_key",
    "not_found",
    "quota_exhausted",
    "timeout",
    "unauthorized",
    "unreachable",
    "server_error",
)


def told(finding: Finding) -> str:
    """All that is said of a finding."""
    return finding.message if finding.mend is None else f"{finding.message}; {finding.mend}"


def messages() -> dict[str, str]:
    """By check: settings, tools, database, port, callers, graphs, models; last, all of them."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        said = _settings() | _databases(folder) | _network() | _graphs(folder)
        said |= asyncio.run(_models())
        found = call("doctor", folder=folder, log="xml", prot="80", tools="no.such:tool")
        said["lines"] = found.stdout.rstrip("\n")
        return {key: _steady(text.replace(name, "<folder>")) for key, text in said.items()}


def _steady(text: str) -> str:
    """Without what a new table or setting would change."""
    for pattern, part in (
        (rf"(?<=version ){VERSION}\b|(?<=reads up to ){VERSION}\b", "<version>"),
        (r"\d+,[\d,]+(?= bytes(?! are))", "<size>"),
        (r"(?<= of )\d+(?= set)", "<all>"),
    ):
        text = re.sub(pattern, part, text)
    return text


def _only(found: Iterable[Finding]) -> str:
    [finding] = found
    return told(finding)


def _settings() -> dict[str, str]:
    some, none = (
        read_configuration({name: "1"}).findings[-1] for name in ("RUNWRIGHT_PROT", "RUNWRIGHT_XYZ")
    )
    return {
        "settings.ok": told(read_configuration({}).findings[0]),
        "settings.alike": told(some),
        "settings.unknown": told(none),
        "tools.ok": _only(check_tools(Settings())),
        "tools.broken": _only(check_tools(Settings(tools=("no.such:tool",)))),
    }


def _databases(folder: Path) -> dict[str, str]:
    def of(path: Path) -> Finding:
        [*_, finding] = check_database(Settings(database_url=f"sqlite:///{path}"))
        return finding

    said = {}
    for key, statements in DATABASES.items():
        path = folder / key
        with closing(sqlite3.connect(path)) as made:
            for statement in statements:
                made.execute(statement)
            made.commit()
        said[f"database.{key}"] = told(of(path))
    (folder / "text").write_text("no database, but long enough to be one " * 9)
    (folder / "folder").mkdir()
    (folder / "empty").touch()
    for key in ("text", "folder", "empty", "new", "none/runs.db"):
        said[f"database.{key.partition('/')[0]}"] = told(of(folder / key))
    said["database.url"] = _only(check_database(Settings(database_url="postgres://x")))
    said["database.memory"] = _only(check_database(Settings(database_url="memory://")))
    ours = folder / "runs.db"
    asyncio.run(_made(ours))
    said["database.ok"] = told(of(ours))
    for key, note in (
        ("silent", f'{{"pid": {os.getpid()}, "url": "http://127.0.0.1:1"}}'),
        ("process", f'{{"pid": {os.getpid()}, "url": null}}'),
        ("killed", '{"pid": 4194304, "url": null}'),
    ):
        (folder / "runs.db.owner").write_text(note)
        said[f"database.{key}"] = told(of(ours)).replace(str(os.getpid()), "<pid>")
    (folder / "runs.db.owner").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "access", lambda asked, mode: asked != ours)
        said["database.unwritable"] = told(of(ours))
        patch.undo()
        room = shutil.disk_usage(folder)._replace(free=1000)
        patch.setattr(shutil, "disk_usage", lambda _: room)
        said["database.room"] = told(of(ours))
    return said


async def _made(path: Path) -> None:
    async with open_storage(f"sqlite:///{path}"):
        pass


def _network() -> dict[str, str]:
    key = Key("alice", bytes(32))
    wide: dict[str, Any] = {"host": "192.0.2.1", "open_to_all": True}
    opened, unnamed = check_exposure_of(Settings(**wide))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        other = _only(check_port(Settings(port=port)))
    return {
        "port.taken": masked(other, port=port),
        **_served(),
        "port.free": masked(_only(check_port(Settings(port=port))), port=port),
        "port.any": _only(check_port(Settings(port=0))),
        "port.address": _only(check_port(Settings(host="203.0.113.1"))).replace(":8000", ""),
        "callers.closed": _only(check_exposure_of(Settings(host="192.0.2.1"))),
        "callers.opened": told(opened),
        "callers.unnamed": told(unnamed),
        "callers.none": _only(check_exposure_of(Settings())),
        "callers.keys": _only(check_exposure_of(Settings(api_keys=(key,)))),
        "callers.keys.wide": _only(
            check_exposure_of(Settings(**wide, api_keys=(key,), allowed_hosts=("x.example",)))
        ),
    }


def _served() -> dict[str, str]:
    """Where another server of ours has the port."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.MonkeyPatch.context() as patch:
        patch.setattr("api.cli.doctor.network.answers_as_runwright", lambda _: True)
        port = taken.getsockname()[1]
        settings = Settings(port=port, database_url="sqlite:////nowhere/runs.db")
        url = f"http://127.0.0.1:{port}"
        return {
            "port.other": masked(_only(check_port(settings)), url=url),
            "port.served": masked(
                _only(check_port(Settings(port=port, database_url="memory://"))), url=url
            ),
        }


def _graphs(folder: Path) -> dict[str, str]:
    said = {"graph.none-there": _only(check_studio(folder))}
    (folder / "made.py").write_text("number = 3\n")
    (folder / "broken.py").write_text("graph = 1 / 0\n")
    for key, text in GRAPHS.items():
        (folder / "langgraph.json").write_text(text)
        said[f"graph.{key}"] = _only(check_studio(folder))
    (folder / "langgraph.json").write_text(
        '{"dependencies": ["."], "graphs": {"a": "graph.studio:graph"}}'
    )
    said["graph.ok"] = _only(check_studio(folder))
    return said


async def _models() -> dict[str, str]:
    async def of(name: str, **options: Any) -> list[Finding]:
        settings = read_settings(models=[name], **options)
        return [one async for one in check_models(settings, call=False)]

    said = {}
    with pytest.MonkeyPatch.context() as patch:
        for key, (name, facts) in _FACTS.items():
            patch.setattr(LiteLlmModel, "facts", lambda _, facts=facts: facts)
            said[f"model.{key}"] = _only(await of(name))
        prices = {"openai/dear": {"input": 1, "output": 2}}
        said["model.price"] = told((await of("openai/x", model_prices=prices))[-1])
        said |= await _asked(patch)
        for error_class in _FAILURES:

            def fail(_: Any, error_class: str = error_class) -> ModelFacts:
                raise ModelFailure(error_class, transient=False)

            patch.setattr(LiteLlmModel, "facts", fail)
            said[f"model.{error_class}"] = _only(await of("openai/x"))
    without = read_settings(model_complex="openai/x")
    said["model.complex"] = _only([one async for one in check_models(without, call=False)])
    said["model.none"] = _only([one async for one in check_models(Settings(), call=False)])
    return said


async def _asked(patch: pytest.MonkeyPatch) -> dict[str, str]:
    async def complete(*_: Any, **__: Any) -> Completion:
        return Completion("{}", "stop", input_tokens=10, output_tokens=3)

    patch.setattr(LiteLlmModel, "warm", lambda _: None)
    patch.setattr(LiteLlmModel, "complete", complete)
    settings = read_settings(models=["openai/x"])
    answered = _only([one async for one in check_models(settings, call=True)])
    return {"model.answered": re.sub(r"[\d.]+ s", "<seconds> s", answered)}
