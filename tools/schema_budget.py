"""What a check by a JSON Schema of others may cost: work is counted, and ends at a bound.

The keywords are those of `jsonschema`, each of which is counted when it is applied. Those whose
work cannot be counted from outside, or that would try patterns without end, are our own.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache, partial
from itertools import islice
from typing import Any, cast

import attrs
import jsonschema_rs
from jsonschema import (
    Draft4Validator,
    Draft6Validator,
    Draft7Validator,
    Draft201909Validator,
    Draft202012Validator,
)
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend, validator_for
from referencing import Registry

#: The most steps of one check, of an input or of a schema: a twentieth of a second or less of a
#: quiet machine. A step is a keyword at a value, or what takes as long.
MAX_STEPS = 10_000

#: How large a pattern may become when it is compiled, in bytes, beside the steps that compiling it
#: takes, and those of a character of text that is matched.
_SIZES = ((10_000, 50, 1 / 8), (100_000, 200, 1.5), (500_000, 2_000, 8.0))

#: Where a pattern looks around or back it is matched by trying, this often at most. Each try may
#: look at the whole text: a step is so many times one character by one character.
_TRIES, _TRIED = 1_000, 100

_DIALECTS: tuple[type[Validator], ...] = (
    Draft4Validator,
    Draft6Validator,
    Draft7Validator,
    Draft201909Validator,
    Draft202012Validator,
)


class Exhausted(Exception):
    """The check takes more steps than it may."""


class InvalidSchema(Exception):
    """The schema is none; the message says why."""


class Checker:
    """What checks by one schema, `MAX_STEPS` each time at most.

    Patterns are those of ECMA 262; others, and those that become too large, hold for everything, as
    `unevaluatedItems` and `unevaluatedProperties` do: they are left to the schema's author.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._dialect = validator_for(schema, default=Draft202012Validator)
        if self._dialect not in _DIALECTS:
            self._dialect = Draft202012Validator
        self._schema = schema
        # An empty registry: no reference is ever fetched from elsewhere.
        self._validator = _counted(self._dialect)(self._schema, registry=Registry())
        self._lookup = _lookup(self._dialect, self._schema)

    def errors(self, value: Any, most: int) -> list[ValidationError]:
        """What is wrong with a value, at first. Raises `Exhausted`, and what references do."""
        token = _budget.set(Budget(lookup=self._lookup))
        try:
            return list(islice(self._validator.iter_errors(value), most))
        finally:
            _budget.reset(token)

    def check(self, budget: "Budget") -> None:
        """See that the schema is one, and that what it refers to is there.

        Raises `InvalidSchema`, `Exhausted`, and what references do.
        """
        budget.spend(_size(self._schema) / 4 + _characters(self._schema) / 1_000)
        dialect = self._dialect.META_SCHEMA["$schema"]
        try:
            # The dialect is always one that is known: another would be asked for at its address.
            jsonschema_rs.meta.validate({**self._schema, "$schema": dialect})
        except jsonschema_rs.ValidationError as error:
            raise InvalidSchema(error.message) from None
        for pattern in sorted(set(_patterns(self._schema))):
            budget.spend(len(pattern) / 5)
            budget.spend(_compiled(pattern).made)
        budget.lookup = self._lookup
        token = _budget.set(budget)
        try:
            list(islice(self._validator.iter_errors({}), MAX_STEPS))
        finally:
            _budget.reset(token)


class Budget:
    """The steps that are left of a check; `lookup` are those of a reference by a name."""

    def __init__(self, steps: float = MAX_STEPS, *, lookup: int = 0) -> None:
        self.left = steps
        self.lookup = lookup

    def spend(self, steps: float) -> None:
        """Take steps. Raises `Exhausted`."""
        self.left -= steps
        if self.left < 0:
            raise Exhausted


_budget: ContextVar[Budget] = ContextVar("budget")


def _within(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of a schema: any may be referred to as one."""
    if isinstance(value, dict):
        yield value
        value = value.values()
    for one in value:
        if isinstance(one, dict | list):
            yield from _within(one)


def _patterns(schema: Mapping[str, Any]) -> Iterator[str]:
    for one in _within(schema):
        if isinstance(pattern := one.get("pattern"), str):
            yield pattern
        if isinstance(named := one.get("patternProperties"), dict):
            yield from named


#: What gives a part of a schema a name to refer to it by.
_NAMES = ("$id", "$anchor", "$dynamicAnchor")


def _lookup(dialect: type[Validator], schema: Mapping[str, Any]) -> int:
    """What a reference takes, in steps: for names all of a schema is gone through, each time."""
    every = list(_within(schema))
    # A part may name a dialect of its own, which is counted as text: a property may be called so.
    old = dialect is Draft4Validator or any("draft-04" in str(one.get("$schema")) for one in every)
    names = ("id", *_NAMES) if old else _NAMES
    named = any(
        isinstance(one.get(name), str) and not (name in ("id", "$id") and one is schema)
        for one in every
        for name in names
    )
    return 3 * _size(schema) if named else 0


def _size(value: Any) -> int:
    """How many values it has, itself included."""
    if isinstance(value, dict):
        return 1 + sum(map(_size, value.values()))
    return 1 + sum(map(_size, value)) if isinstance(value, list) else 1


def _characters(value: Any) -> int:
    """How long its texts and names are together."""
    if isinstance(value, dict):
        return sum(map(len, value)) + sum(map(_characters, value.values()))
    if isinstance(value, list):
        return sum(map(_characters, value))
    return len(value) if isinstance(value, str) else 0


def _length(value: Any) -> int:
    return len(value) if isinstance(value, dict | list) else 0


#: A keyword of the library: it yields what its value does not allow of an instance.
_Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


@lru_cache(maxsize=len(_DIALECTS))
def _counted(dialect: type[Validator]) -> type[Validator]:
    keywords: dict[str, _Keyword] = {
        name: _OWN.get(name, keyword) for name, keyword in dialect.VALIDATORS.items()
    }
    counted = {name: partial(_applied, name, keyword) for name, keyword in keywords.items()}
    made = cast("Any", extend(dialect, counted))  # type: ignore[no-untyped-call] # half typed
    made.evolve = _evolved
    return cast("type[Validator]", made)


def _evolved(validator: Any, **changes: Any) -> Any:
    """What applies a schema within: a step, and so many for names that are no keywords.

    The library would go on with its own keywords where that schema names a dialect.
    """
    _budget.get().spend(1 + _length(changes.get("schema")) / 16)
    return attrs.evolve(validator, **changes)


def _applied(
    name: str, keyword: _Keyword, validator: Any, value: Any, instance: Any, schema: Any
) -> Iterator[ValidationError]:
    budget = _budget.get()
    budget.spend(1 + _cost(name, value, instance, budget.lookup))
    for error in keyword(validator, value, instance, schema) or ():
        # A message has all of the instance in it; further up it is only handed on.
        budget.spend(1 if error.relative_schema_path else 1 + len(error.message) / 150)
        yield error


def _cost(name: str, value: Any, instance: Any, lookup: int) -> float:
    """What a keyword takes beside the schemas that it applies, in steps."""
    match name:
        case "required" | "dependentRequired" | "dependencies":
            return _size(value) / 8
        case "enum" | "const":  # what lies deeper is compared value by value
            return _length(value) / 8 + (_size(value) - _length(value)) / 2
        case "properties":
            return _length(value) / 16
        case "items" | "additionalItems" | "contains" | "propertyNames" | "additionalProperties":
            return _length(instance) / 4
        case "uniqueItems":
            return _size(instance) + _characters(instance) / 250
        case "$ref":
            return 8 + lookup + len(str(value)) / 8
        case "$dynamicRef" | "$recursiveRef":
            return 8 + lookup
        case _:
            return _length(value)


class _Pattern:
    """A pattern, `made` with so many steps."""

    def __init__(self, pattern: str) -> None:
        self.made = 0
        self._matches: Any = None
        self._of_character = 0.0
        for size, made, of_character in _SIZES:
            limits = jsonschema_rs.RegexOptions(size_limit=size, dfa_size_limit=size)
            self.made += made
            if self._compile(pattern, limits):
                self._of_character = of_character
                return
        size = _SIZES[0][0]
        self._compile(
            pattern,
            jsonschema_rs.FancyRegexOptions(
                backtrack_limit=_TRIES, size_limit=size, dfa_size_limit=size
            ),
        )

    def _compile(self, pattern: str, limits: Any) -> bool:
        try:
            self._matches = jsonschema_rs.Draft202012Validator(
                {"pattern": pattern}, pattern_options=limits
            )
        except (ValueError, jsonschema_rs.ValidationError):
            return False
        return True

    @property
    def holds(self) -> bool:
        """Whether texts can be held to it."""
        return self._matches is not None

    def found(self, text: str) -> bool:
        """Whether it is anywhere in the text. Raises `Exhausted`."""
        if self._matches is None:
            return True
        length = len(text)
        _budget.get().spend(length * self._of_character or length * length / _TRIED)
        if self._of_character:
            return bool(self._matches.is_valid(text))
        for error in self._matches.iter_errors(text):
            if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.BacktrackLimitExceeded):
                raise Exhausted
            return False
        return True


#: More than a schema may have: each takes more steps than a check has by this number.
_compiled = lru_cache(maxsize=256)(_Pattern)


def holds(pattern: str) -> bool:
    """Whether a check holds texts to a pattern: not to one that is invalid, or too large."""
    return _compiled(pattern).holds


def _pattern(
    _validator: Any, pattern: str, instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not _compiled(pattern).found(instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: Mapping[str, Any], instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for pattern, schema in patterns.items():
            for name, value in instance.items():
                _budget.get().spend(1)
                if _compiled(pattern).found(name):
                    yield from validator.descend(value, schema, path=name, schema_path=pattern)


def _additional_properties(
    validator: Any, allowed: Any, instance: Any, schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    _budget.get().spend(len(patterns) * len(instance))
    extra = [
        name
        for name in instance
        if name not in known and not any(_compiled(one).found(name) for one in patterns)
    ]
    if isinstance(allowed, dict):
        for name in extra:
            yield from validator.descend(instance[name], allowed, path=name)
    elif not allowed and extra:
        names = ", ".join(map(repr, extra))
        yield ValidationError(f"Additional properties are not allowed: {names}")


def _unique_items(
    _validator: Any, wanted: Any, instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    if wanted and isinstance(instance, list):
        # By their texts, which nobody can make collide, as numbers can be made to.
        texts = {json.dumps(_plain(one), sort_keys=True) for one in instance}
        if len(texts) < len(instance):
            yield ValidationError(f"{instance!r} has non-unique elements")


def _plain(value: Any) -> Any:
    """With one form for each number: 1.0 is 1."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _left_alone(*_: Any) -> None:
    """The library does these with lists that it searches, and with its own patterns."""


_OWN: Mapping[str, _Keyword] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
    "unevaluatedItems": _left_alone,
    "unevaluatedProperties": _left_alone,
}
