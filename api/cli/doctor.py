"""`runwright doctor`: opens one thing after the other as `serve` does, and tells what that says."""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, replace
from importlib.metadata import version
from urllib.parse import urlsplit

from api.cli.follow import quiet_logging
from api.cli.serve import PortTaken, listen
from api.cli.text import line
from api.middleware.access import check_exposure
from api.views import Finding, server_findings, tool_findings
from graph.build import build_graph
from graph.compose import open_mcp, open_tools
from graph.models.client import LiteLlmModel, close_clients
from graph.models.ladder import make_ladder
from graph.settings import InvalidSettings, Settings, read_settings
from graph.settings.configured import without_secrets
from graph.state.wording import counted
from graph.storage.fleet import is_heard
from graph.storage.open import open_storage
from graph.storage.records import DatabaseOwned
from graph.storage.storage import StorageError
from nodes.planning.model import ModelFailure
from tools.registry import InvalidTool
from tools.toolbox import Toolbox, arrived

#: As short as a question with an answer of a given form can be.
MESSAGES = [{"role": "user", "content": 'Answer with {"ok": true}.'}]
SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}},
    "required": ["ok"],
    "additionalProperties": False,
}


#: How long a notice of our own is waited for, in seconds.
NOTICE_WAIT = 5.0

NOT_HEARD = (
    "it can be used, but its notices do not arrive, so that processes hear of each other within a"
    " second only: LISTEN needs a direct connection, or a pooler in session mode"
)


async def examined(*, call_models: bool, as_json: bool) -> tuple[str, bool]:
    """What was found, as text or JSON, and whether nothing fails.

    What the user's own modules print goes to standard error.
    """
    with redirect_stdout(sys.stderr):
        findings = [
            replace(finding, message=without_secrets(finding.message))
            async for finding in _examine(call_models=call_models)
        ]
    sound = all(finding.status != "fails" for finding in findings)
    return (_json(findings, sound=sound) if as_json else _text(findings)), sound


async def _examine(*, call_models: bool) -> AsyncIterator[Finding]:
    """In the order of a start; without usable settings nothing else can be opened."""
    try:
        settings = read_settings()
    except InvalidSettings as invalid:
        for said in str(invalid).splitlines():
            yield Finding("settings", "fails", said)
        return
    quiet_logging(settings)
    count = f"{len(settings.model_fields_set)} of {len(Settings.model_fields)} set"
    yield Finding("settings", "ok", f"{count}, the others have their defaults")
    for finding in _tools(settings):
        yield finding
    if settings.mcp:
        for finding in await _servers(settings):
            yield finding
    database, served = await _database(settings)
    yield database
    yield _port(settings, served)
    async for finding in _models(settings, call=call_models):
        yield finding


def _tools(settings: Settings) -> list[Finding]:
    try:
        tools = open_tools(settings)
        build_graph(tools)  # which reads their phrases
        findings = list(tool_findings(tools))
    except InvalidTool as error:
        return [Finding("tools", "fails", str(error))]
    count = f"{len(tools)} tools, {len(settings.tools)} of them your own"
    return [*findings, Finding("tools", "ok", count)]


async def _servers(settings: Settings) -> list[Finding]:
    """Connect to every MCP server of the file."""
    try:
        tools = Toolbox(open_tools(settings))
        async with open_mcp(settings, tools) as servers:
            await arrived(tools)
            return list(server_findings(servers()))
    except InvalidTool as error:
        return [Finding("mcp", "fails", str(error))]


async def _database(settings: Settings) -> tuple[Finding, str | None]:
    """What opening it says, and where the server is that has it."""
    url = settings.database_url
    try:
        async with open_storage(url, shared=settings.workers is not None) as storage:
            left = counted(len(await storage.index.unsettled()), "run")
            if storage.fleet and not await is_heard(storage.fleet.notices, NOTICE_WAIT):
                return Finding("database", "warning", NOT_HEARD), None
    except DatabaseOwned as owned:  # as it should be beside a server
        return Finding("database", "ok", str(owned)), owned.owner.url if owned.owner else None
    except StorageError as error:
        return Finding("database", "fails", str(error)), None
    return Finding("database", "ok", f"{url} can be used; {left} would go on at a start"), None


def _port(settings: Settings, served: str | None) -> Finding:
    place = f"{settings.host}:{settings.port}"
    if served and urlsplit(served).port == settings.port:
        return Finding("port", "ok", f"{place} is that server's")
    try:
        check_exposure(settings)
        listen(settings.host, settings.port).close()
    except (InvalidSettings, PortTaken) as error:
        return Finding("port", "fails", str(error))
    return Finding("port", "ok", f"{place} is free" if settings.port else "any free one is taken")


async def _models(settings: Settings, *, call: bool) -> AsyncIterator[Finding]:
    """Load every model; `call` asks each for a few words, which costs a few tokens."""
    try:
        ladder = make_ladder(settings)
    except InvalidSettings as invalid:
        yield Finding("models", "fails", str(invalid))
        return
    if ladder is None:
        yield Finding("models", "ok", "none is configured; the pattern planner plans")
        return
    try:
        for name, model in ladder.models.items():
            assert isinstance(model, LiteLlmModel)
            try:
                yield await _loaded(model, settings.model_timeout, call=call)
            except ModelFailure as failure:
                yield Finding("models", "fails", f"{name}: {failure.error_class}")
    finally:
        await close_clients()


def _params(model: LiteLlmModel) -> str:
    return f" with {json.dumps(model.params)}" if model.params else ""


async def _loaded(model: LiteLlmModel, timeout: float, *, call: bool) -> Finding:
    """Raises `ModelFailure`."""
    await asyncio.to_thread(model.warm)
    if missing := model.missing_variables():
        # A key may have been put where the name of its variable belongs.
        names = [name if name.isupper() else "the variable in api_key_env" for name in missing]
        return Finding("models", "fails", f"{model.name}: {', '.join(names)} is not set")
    if not call:
        return Finding(
            "models", "ok", f"{model.name}{_params(model)}: not asked (--call-models does)"
        )
    began = time.monotonic()
    answer = await model.complete(MESSAGES, SCHEMA, timeout=timeout)
    used = answer.input_tokens, answer.output_tokens
    spent = "an unknown number of" if None in used else sum(number or 0 for number in used)
    took = f"{time.monotonic() - began:.1f} s, {spent} tokens"
    return Finding("models", "ok", f"{model.name}{_params(model)}: answered in {took}")


def _json(findings: Sequence[Finding], *, sound: bool) -> str:
    checks = [asdict(finding) for finding in findings]
    return json.dumps({"version": version("runwright"), "ok": sound, "checks": checks}, indent=2)


def _text(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.status for finding in findings)
    return "\n".join(
        [
            *(line(f"{one.status:<8} {one.check}: {one.message}") for one in findings),
            f"{counts['fails']} fail, {counted(counts['warning'], 'warning')}",
        ]
    )
