"""One process owns a database: what others find of it where they want it too."""

import asyncio
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from graph.storage.fleet import SoleLease


@dataclass(frozen=True)
class ServerAddress:
    """Where a server answers, and the secret by which it proves that it is the one of the note."""

    url: str
    secret: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)

    def proof(self, nonce: str) -> str:
        """What only who knows the secret can answer to a nonce, in hex."""
        message = f"{self.url}\n{nonce}".encode()
        return hmac.new(self.secret.encode(), message, "sha256").hexdigest()


@dataclass(frozen=True)
class Owner:
    """Who holds a database; `url` is where its server answers, None for a process without one.

    `secret` is None where there is none, or the note may be another user's.
    """

    pid: int
    url: str | None
    secret: str | None = field(default=None, repr=False, compare=False)

    def proves(self, nonce: str, proof: str) -> bool:
        """Whether it is this owner's server that answers so."""
        if self.url is None or self.secret is None:
            return False
        expected = ServerAddress(self.url, self.secret).proof(nonce)
        return hmac.compare_digest(expected.encode(), proof.encode())


class Tenure(Protocol):
    """What a process knows that has its database alone, and may outlive a crash of that.

    `lease` is that of executions that begin now: a new one once the database has lost what it had
    acknowledged without waiting for its disk. `look` is set with that, and whenever the database
    was away: what was asked for meanwhile may be stored although it was not acknowledged.
    """

    look: asyncio.Event

    @property
    def lease(self) -> SoleLease: ...


class DatabaseOwned(Exception):
    """Another process owns the database. `owner` is None when it left no readable note.

    `shared`: several processes have it, and it was wanted alone; none of them is the owner. `place`
    names the database without any password, and `kind` what it is one of; `owner_now` says who
    has it when that is called.
    """

    def __init__(
        self,
        place: str,
        owner: Owner | None,
        *,
        kind: str,
        owner_now: Callable[[], Owner | None],
        shared: bool = False,
    ) -> None:
        self.place = place
        self.owner = owner
        self.kind = kind
        self.owner_now = owner_now
        self.shared = shared
        by = "shared by several processes" if shared else f"in use by {_named(owner)}"
        super().__init__(f"{place} is {by}")

    @property
    def advice(self) -> str:
        """What can be done by who wants it."""
        if self.shared:
            return (
                "stop them, name one of their servers with --url, or set RUNWRIGHT_WORKERS=0 to be"
                " one of them"
            )
        return f"stop it first, or set RUNWRIGHT_DATABASE_URL to another {self.kind}"


def _named(owner: Owner | None) -> str:
    if owner is None:
        return "another process"
    where = f"the server at {owner.url}" if owner.url else "a `runwright run` or a notebook"
    return f"{where} (process {owner.pid})"
