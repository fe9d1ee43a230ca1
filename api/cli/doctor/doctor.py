"""The whole examination, in the order in which one would mend what it finds."""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from importlib.metadata import version
from pathlib import Path

from api.cli.doctor import database, graph, models, network
from api.cli.doctor.finding import Finding, fails, ok, skipped, warning
from api.cli.lines import line
from graph.settings import PREFIX, InvalidSettings, Settings, read_settings
from graph.state.wording import counted

#: What each examination reads; where one of these is unusable, it is left out.
NEEDS: dict[str, frozenset[str]] = {
    graph.TOOLS_CHECK: frozenset({"tools"}),
    database.CHECK: frozenset({"database_url"}),
    models.CHECK: frozenset(
        {"models", "model_complex", "model_prices", "temperature", "model_timeout"}
        | {"model_max_tokens"}
    ),
    network.CALLERS_CHECK: frozenset({"host", "api_keys", "open_to_all", "allowed_hosts"}),
    network.PORT_CHECK: frozenset({"host", "port"}),
    graph.CHECK: frozenset(Settings.model_fields),
}


async def examine(*, call_models: bool) -> list[Finding]:
    """Look at everything; nothing is changed and no lock is taken.

    What the user's own modules print goes to standard error.
    """
    configuration = read_configuration(os.environ)
    settings, findings = configuration.settings, list(configuration.findings)
    with redirect_stdout(sys.stderr):
        for check, look in _examinations(settings).items():
            blocked = sorted(NEEDS[check] & configuration.unusable)
            findings += [_blocked(check, blocked)] if blocked else _guarded(check, look)
        blocked = sorted(NEEDS[models.CHECK] & configuration.unusable)
        if blocked:
            findings.append(_blocked(models.CHECK, blocked))
        else:
            found = models.check_models(settings, call=call_models)
            findings += [finding async for finding in found]
    return findings


def _examinations(settings: Settings) -> dict[str, Callable[[], Iterator[Finding]]]:
    return {
        graph.TOOLS_CHECK: lambda: graph.check_tools(settings),
        database.CHECK: lambda: database.check_database(settings),
        network.CALLERS_CHECK: lambda: network.check_exposure_of(settings),
        network.PORT_CHECK: lambda: network.check_port(settings),
        graph.CHECK: lambda: graph.check_studio(Path.cwd()),
    }


def _guarded(check: str, look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    try:
        return list(look())
    except SystemExit as error:  # a module of the user's that ends the process when imported
        mend = "let no module call sys.exit() when it is imported"
        return [fails(check, f"a module ended the process ({error})", mend)]
    except OSError as error:  # a folder that may not be looked into, for one
        return [fails(check, f"cannot be looked at: {error}", "see to the rights of this user")]


def _blocked(check: str, fields: list[str]) -> Finding:
    names = ", ".join(f"{PREFIX}{name.upper()}" for name in fields)
    return skipped(check, f"not looked at before the settings are right: {names}")


# `runwright doctor`: what would keep a server from working, and how to mend it.


async def examined(*, call_models: bool, as_json: bool) -> tuple[str, bool]:
    """What was found, as text or JSON, and whether nothing fails."""
    findings = await examine(call_models=call_models)
    sound = all(finding.status != "fails" for finding in findings)
    return (_json(findings, sound=sound) if as_json else _text(findings)), sound


def _json(findings: Sequence[Finding], *, sound: bool) -> str:
    checks = [asdict(finding) for finding in findings]
    return json.dumps({"version": version("runwright"), "ok": sound, "checks": checks}, indent=2)


def _text(findings: Sequence[Finding]) -> str:
    lines = [_line(finding) for finding in findings]
    counts = Counter(finding.status for finding in findings)
    lines.append(f"{counts['fails']} fail, {counted(counts['warning'], 'warning')}")
    return "\n".join(lines)


def _line(finding: Finding) -> str:
    mend = "" if finding.mend is None else f"; {finding.mend}"
    return line(f"{finding.status:<8} {finding.check}: {finding.message}{mend}")


# The settings: what is wrong with them, and as much of them as can be used.


CHECK = "settings"


@dataclass(frozen=True)
class Configuration:
    """The settings with the default for every field in `unusable`."""

    settings: Settings
    unusable: frozenset[str]
    findings: tuple[Finding, ...]


def read_configuration(environment: Mapping[str, str]) -> Configuration:
    """Read the settings of this process; `environment` is searched for names that are none."""
    unknown = tuple(_unknown_names(environment))
    try:
        settings = read_settings()
    except InvalidSettings as invalid:
        defaults = {name: Settings.model_fields[name].default for name in invalid.fields}
        findings = tuple(
            fails(CHECK, line, f"change or unset {line.partition('=')[0]}")
            for line in str(invalid).splitlines()
        )
        usable = read_settings(**defaults)
        return Configuration(usable, frozenset(invalid.fields), findings + unknown)
    count = len(settings.model_fields_set)
    settings_found = ok(
        CHECK, f"{count} of {len(Settings.model_fields)} set, the others have their defaults"
    )
    return Configuration(settings, frozenset(), (settings_found, *unknown))


def _unknown_names(environment: Mapping[str, str]) -> Iterator[Finding]:
    known = [name.upper() for name in Settings.model_fields]
    for name in sorted(environment):
        own = name.upper().removeprefix(PREFIX)
        if own == name.upper() or own in known:
            continue
        alike = get_close_matches(own, known, n=1)
        mend = (
            f"did you mean {PREFIX}{alike[0]}?"
            if alike
            else "unset it; docs/settings.md lists the settings"
        )
        yield warning(CHECK, f"{name} is set, but there is no such setting", mend)
