"""Where a search goes on: a position as clients carry it, bound to the search that it is of."""

import base64
import hashlib
import json
import math
from dataclasses import replace

from graph.search import Position, Search

#: Longest cursor, in characters; those that we write have about 60.
LONGEST = 200


class InvalidCursor(Exception):
    """What was given is not a cursor of this search."""


def encode(position: Position, search: Search, *, owner: str) -> str:
    """The cursor of a position in this search."""
    written = json.dumps([_mark(search, owner), position.key, position.number])
    return base64.urlsafe_b64encode(written.encode()).decode().rstrip("=")


def decode(cursor: str, search: Search, *, owner: str) -> Position:
    """The position that a cursor is of. Raises `InvalidCursor`."""
    try:
        if len(cursor) > LONGEST:
            raise InvalidCursor
        written = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars="-_", validate=True)
        mark, key, number = json.loads(written)
        position = Position(key=key, number=number)
        if mark != _mark(search, owner) or not _is_possible(position, search):
            raise InvalidCursor
        if encode(position, search, owner=owner) != cursor:  # nearly one is none
            raise InvalidCursor
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidCursor from error
    return position


def _is_possible(position: Position, search: Search) -> bool:
    key, number = position.key, position.number
    sorted_by = isinstance(key, float) and math.isfinite(key) and search.sort != "time"
    return (key is None or sorted_by) and type(number) is int and 0 < number < 2**53


def _mark(search: Search, owner: str) -> str:
    """Tells this search from others; the size of its pages may change on the way."""
    asked = f"{owner!r} {replace(search, after=None, limit=0)!r}"
    return hashlib.sha256(asked.encode()).hexdigest()[:12]
