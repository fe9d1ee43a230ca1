"""The address to listen on: free, served by the server that is looked for, or taken."""

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from api.address import url_of
from api.doctor.finding import Finding, fails, ok
from api.doctor.neighbour import answers_as_runwright
from graph.settings import Settings
from graph.storage.open import sqlite_path
from graph.storage.sqlite.open import noted_owner
from graph.storage.storage import StorageError

CHECK = "port"

OTHER_PORT = "stop it, or set RUNWRIGHT_PORT to a free one"


def check_port(settings: Settings) -> Iterator[Finding]:
    """Take the address for a moment, without listening on it."""
    host, port = settings.host, settings.port
    problem = _problem(host, port)
    if problem is None:
        yield ok(CHECK, f"{host}:{port} is free" if port else "0: each start takes a free one")
    elif problem.errno == errno.EADDRINUSE:
        yield _taken(settings)
    elif problem.errno == errno.EACCES:
        mend = "set RUNWRIGHT_PORT to one from 1024 on, or let a proxy listen there"
        yield fails(CHECK, f"{host}:{port} may be listened on by root only", mend)
    else:
        reason = problem.strerror or problem
        mend = "set RUNWRIGHT_HOST to an address of this machine, as 127.0.0.1 or 0.0.0.0"
        yield fails(CHECK, f"{host}:{port} cannot be listened on: {reason}", mend)


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
            CHECK, f"{settings.host}:{settings.port} is taken by another program", OTHER_PORT
        )
    if _has_the_database(settings):
        return ok(CHECK, f"served by the Runwright at {url}")
    return fails(CHECK, f"a Runwright with another database is at {url}", OTHER_PORT)


def _has_the_database(settings: Settings) -> bool:
    """Whether whoever has the file listens on this port; one in memory cannot be told."""
    if settings.database_url == "memory://":
        return True
    try:
        owner = noted_owner(Path(sqlite_path(settings.database_url)))
    except StorageError:
        return False
    return owner is not None and bool(owner.url) and urlsplit(owner.url).port == settings.port
