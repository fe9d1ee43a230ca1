"""Which schemas an answer can be held to, and what is said of those that none can."""

import json
from typing import Any

import pytest

from nodes.contract.checks import fitting, schema_fault

#: Refers to itself for ever, without a value that ends it.
ENDLESS = {"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"}


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"unevaluatedProperties": {"type": "integer"}}},
        {"$defs": {"unevaluatedItems": {"type": "integer"}}},
        {"const": {"unevaluatedProperties": False}},
        {"enum": [{"unevaluatedItems": 1, "pattern": "("}]},
        {"default": {"pattern": "("}},
        {"properties": {"pattern": {"type": "string", "pattern": "^(?=a)a+$"}}},
    ],
)
def test_what_is_only_called_as_a_keyword_is_is_none(schema: dict[str, Any]) -> None:
    assert schema_fault(schema) is None


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"properties": {"a": {"unevaluatedProperties": False}}}, "unevaluatedProperties"),
        ({"elsewhere": {"a": {"unevaluatedItems": False}}}, "unevaluatedItems"),
        ({"items": {"pattern": "("}}, 'the pattern "("'),
        ({"$ref": "#/nowhere"}, "it refers to something that is not there"),
    ],
)
def test_what_is_not_checked_is_refused(schema: dict[str, Any], words: str) -> None:
    fault = schema_fault(schema)

    assert fault is not None
    assert words in fault


@pytest.mark.parametrize("schema", [{"$ref": "#/nowhere"}, ENDLESS], ids=["nowhere", "endless"])
def test_reasons_have_no_names_of_classes(schema: dict[str, Any]) -> None:
    value, reasons = fitting("{}", schema, max_bytes=1_000)
    deep, too_deep = fitting("[" * 100_000, schema, max_bytes=1_000_000)

    assert value is deep is None
    said = json.dumps([schema_fault(schema), reasons, too_deep])
    assert too_deep == ["it is nested too deeply"]
    assert "Error" not in said
    assert "_" not in said
