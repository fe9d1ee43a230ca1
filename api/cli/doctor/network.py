"""The address to listen on: free, served by the server that is looked for, or taken."""

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from api.cli.doctor.finding import Finding, fails, ok, warning
from api.cli.serve import check_exposure, only_loopback, url_of
from graph.settings import InvalidSettings, Settings
from graph.state.wording import counted
from graph.storage.open import sqlite_path
from graph.storage.sqlite.open import noted_owner
from graph.storage.storage import StorageError

PORT_CHECK = "port"

OTHER_PORT = "stop it, or set RUNWRIGHT_PORT to a free one"


def check_port(settings: Settings) -> Iterator[Finding]:
    """Take the address for a moment, without listening on it."""
    host, port = settings.host, settings.port
    problem = _problem(host, port)
    if problem is None:
        yield ok(PORT_CHECK, f"{host}:{port} is free" if port else "0: each start takes a free one")
    elif problem.errno == errno.EADDRINUSE:
        yield _taken(settings)
    elif problem.errno == errno.EACCES:
        mend = "set RUNWRIGHT_PORT to one from 1024 on, or let a proxy listen there"
        yield fails(PORT_CHECK, f"{host}:{port} may be listened on by root only", mend)
    else:
        reason = problem.strerror or problem
        mend = "set RUNWRIGHT_HOST to an address of this machine, as 127.0.0.1 or 0.0.0.0"
        yield fails(PORT_CHECK, f"{host}:{port} cannot be listened on: {reason}", mend)


def _problem(host: str, port: int) -> OSError | None:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            if os.name == "posix":  # as a server does, or what it left would count
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as error:
        return error
    return None


def _taken(settings: Settings) -> Finding:
    url = url_of(settings.host, settings.port)
    if not answers_as_runwright(url):
        return fails(
            PORT_CHECK, f"{settings.host}:{settings.port} is taken by another program", OTHER_PORT
        )
    if _has_the_database(settings):
        return ok(PORT_CHECK, f"served by the Runwright at {url}")
    return fails(PORT_CHECK, f"a Runwright with another database is at {url}", OTHER_PORT)


def _has_the_database(settings: Settings) -> bool:
    """Whether the owner of the file listens on this port; one in memory cannot be told."""
    if settings.database_url == "memory://":
        return True
    try:
        owner = noted_owner(Path(sqlite_path(settings.database_url)))
    except StorageError:
        return False
    return owner is not None and bool(owner.url) and urlsplit(owner.url).port == settings.port


#: How long an answer is waited for, in seconds.
SILENCE_LIMIT = 2.0


def answers_as_runwright(url: str) -> bool:
    """Ask for its health, which needs no key."""
    try:
        health = httpx.get(f"{url}/health", timeout=SILENCE_LIMIT, trust_env=False).json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return False
    return isinstance(health, dict) and {"status", "version", "storage"} <= set(health)


# Who can reach the server where it is to listen, and by which names.


CALLERS_CHECK = "callers"


def check_exposure_of(settings: Settings) -> Iterator[Finding]:
    """Compare the address with the keys and the names."""
    local = only_loopback(settings.host)
    names = {key.name for key in settings.api_keys}
    try:
        check_exposure(settings)
    except InvalidSettings:
        yield fails(
            CALLERS_CHECK,
            f"a server without keys does not listen on {settings.host}",
            "make a key with `runwright key new NAME` and set RUNWRIGHT_API_KEYS, or set"
            " RUNWRIGHT_HOST=127.0.0.1",
        )
        return
    if not local and not names:
        yield warning(
            CALLERS_CHECK,
            f"everybody who reaches {settings.host} may do everything (RUNWRIGHT_OPEN_TO_ALL)",
            "make keys with `runwright key new NAME` unless something else checks who calls",
        )
    else:
        keys = counted(len(settings.api_keys), "key")
        who = f"{counted(len(names), 'owner')} with {keys}" if names else "no keys"
        yield ok(CALLERS_CHECK, f"{who}; {'this machine only' if local else f'on {settings.host}'}")
    if not local and not settings.allowed_hosts:
        yield warning(
            CALLERS_CHECK,
            f"calls by any name but localhost and {settings.host} are refused",
            "set RUNWRIGHT_ALLOWED_HOSTS to the names by which it is reached",
        )
