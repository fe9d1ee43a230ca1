"""Keys: who may use a server, and whose a run is."""

import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest

#: Whose the runs of a server without keys are.
DEFAULT_OWNER = "default"

#: What every key begins with, so that people and scanners of secrets recognise one.
PREFIX = "rw_"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}", re.IGNORECASE)


#: What begins as the keys of this server or of a model's provider do.
_KEY = re.compile(
    r"(?<![A-Za-z0-9_])(rw_|sk-|gsk_|xai-|AIza|hf_|ghp_|github_pat_)[A-Za-z0-9_.-]{8,}"
)

#: User and password of a URL, also without its scheme; a password may have an @ of its own.
_USER = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)\S*@|[^\s/=,'\":@]+:[^\s/]\S*@")

_PARAMETER = re.compile(r"(?i)([?&][\w.-]*(?:key|pass\w*|pwd|secret|token)=)[^\s&'\"]+")


class InvalidKey(ValueError):
    """What is no key of the list; the message never quotes it, since it may be the key itself."""


@dataclass(frozen=True)
class Key:
    """What a server keeps of a key: its owner's name and its hash."""

    name: str
    digest: bytes

    def __str__(self) -> str:
        return f"{self.name}:{self.digest.hex()}"


def digest_of(key: str) -> bytes:
    """The hash by which a key is known.

    Plain SHA-256 is right for 32 random bytes: slow and salted hashes are for what can be guessed,
    and would cost every call what they cost a guesser.
    """
    return sha256(key.encode()).digest()


def new_key(name: str) -> tuple[str, Key]:
    """A new key for `name`, and what the server keeps of it. Raises `InvalidKey`."""
    _check_name(name)
    key = PREFIX + secrets.token_urlsafe(32)
    return key, Key(name, digest_of(key))


def parse_keys(listed: Collection[str]) -> tuple[Key, ...]:
    """The keys that are listed as `name:hash`; a name may have several. Raises `InvalidKey`."""
    keys = tuple(_parse(place, entry) for place, entry in enumerate(listed, start=1))
    if len({key.digest for key in keys}) < len(keys):
        raise InvalidKey("lists one hash twice; a key has one owner")
    return keys


def _parse(place: int, entry: str) -> Key:
    name, _, digest = entry.partition(":")
    if not _NAME.fullmatch(name) or not _DIGEST.fullmatch(digest):
        raise InvalidKey(
            f"has no name:hash as entry {place}; `runwright key new NAME` makes a key and its entry"
        )
    return Key(name, bytes.fromhex(digest))


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidKey(
            f"{name[:70]!r} cannot be a name: it is 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-',"
            " and begins with a letter or a digit"
        )


def without_secrets(text: str) -> str:
    """The text without what looks like a key, and without passwords and users of URLs."""
    text = _KEY.sub(r"\1…", text)
    text = _USER.sub(lambda found: f"{found['scheme'] or ''}…@", text)
    return _PARAMETER.sub(r"\1…", text)


class KeyRing:
    """The keys that a server takes; false while there are none and everybody is `DEFAULT_OWNER`."""

    def __init__(self, keys: Collection[Key] = ()) -> None:
        self._keys = tuple(keys)

    def __bool__(self) -> bool:
        return bool(self._keys)

    def owner(self, given: str) -> str | None:
        """Whose key was given, None where it is nobody's; it takes as long for any of them."""
        digest = digest_of(given)
        owner: str | None = None
        for key in self._keys:  # all of them, also after the right one
            if compare_digest(key.digest, digest):
                owner = key.name
        return owner
