"""The rows of a folder of corpora: what was asked, and what a right plan is."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Wanted:
    """One step of a right plan: a value for the calculator, an action and item for a to-do."""

    tool: str
    actions: frozenset[str]
    value: str | None
    items: tuple[str, ...]


@dataclass(frozen=True)
class Request:
    """A text and the plans that answer it rightly; one empty plan where no tool fits."""

    id: str
    text: str
    kind: str
    core: bool
    tags: frozenset[str]
    plans: tuple[tuple[Wanted, ...], ...]


@dataclass(frozen=True)
class Expression:
    """An expression with its exact value; None where it has to be an error."""

    id: str
    text: str
    core: bool
    value: str | None


def intents(folder: Path) -> list[Request]:
    """The rows that call for one tool or none; `kind` is the tool."""
    return [
        Request(
            row["id"],
            row["text"],
            row["expected_tool"],
            row["scope"] == "core",
            frozenset(row["tags"]),
            ((),) if row["expected_tool"] == "none" else ((_intent_step(row),),),
        )
        for row in _lines(folder / "intent.jsonl")
    ]


def several(folder: Path) -> list[Request]:
    """The rows with several requests, or with "and" inside one."""
    return [
        Request(
            row["id"],
            row["text"],
            row["kind"],
            row["scope"] == "core",
            frozenset(row.get("tags", ())),
            tuple(
                tuple(map(_step, plan))
                for plan in [row["expected_steps"], *row.get("accept_plans", [])]
            ),
        )
        for row in _lines(folder / "multi.jsonl")
    ]


def expressions(folder: Path) -> list[Expression]:
    """The rows for the calculator itself."""
    return [
        Expression(
            row["id"],
            row["expression"],
            row["scope"] == "core",
            row["expected"] if row["kind"] == "valid" else None,
        )
        for row in _lines(folder / "calc_expr.jsonl")
    ]


def _intent_step(row: dict[str, Any]) -> Wanted:
    return _step(
        {
            "tool": row["expected_tool"],
            "accept_actions": row["accept_actions"],
            "value": row["expected_value"],
            "accept_items": row["accept_items"],
        }
    )


def _step(row: dict[str, Any]) -> Wanted:
    return Wanted(
        row["tool"],
        frozenset(row["accept_actions"]),
        row["value"],
        tuple(row["accept_items"]),
    )


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
