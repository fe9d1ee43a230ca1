"""The whole examination, in the order in which one would mend what it finds."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from pathlib import Path

from api.doctor import callers, database, models, own_tools, port, studio
from api.doctor.configuration import read_configuration
from api.doctor.finding import Finding, fails, skipped
from graph.settings import PREFIX, Settings

#: What each examination reads; where one of these is unusable, it is left out.
NEEDS: dict[str, frozenset[str]] = {
    own_tools.CHECK: frozenset({"tools"}),
    database.CHECK: frozenset({"database_url"}),
    models.CHECK: frozenset(
        {"models", "model_complex", "model_prices", "temperature", "model_timeout"}
        | {"model_max_tokens"}
    ),
    callers.CHECK: frozenset({"host", "api_keys", "open_to_all", "allowed_hosts"}),
    port.CHECK: frozenset({"host", "port"}),
    studio.CHECK: frozenset(Settings.model_fields),
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
        own_tools.CHECK: lambda: own_tools.check_tools(settings),
        database.CHECK: lambda: database.check_database(settings),
        callers.CHECK: lambda: callers.check_callers(settings),
        port.CHECK: lambda: port.check_port(settings),
        studio.CHECK: lambda: studio.check_studio(Path.cwd()),
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
