"""A run of the index as a row of SQLite's table, and back."""

import json
from collections.abc import Sequence
from typing import Any

from graph.facts import Facts
from graph.index import RunRow

COLUMNS = (
    "run_id, owner, prompt, limits, created_at, status, started_at, completed_at,"
    " starts, checkpoint_id, budget, cancel_at, cancel_by, approve, expires_at, decision,"
    " generation, retry, forked_from, seed,"
    " planner, model, tools, usd, retries, taken_up"
)

#: Ends with the source of its values, so that a condition may follow.
INSERT = f"INSERT INTO runs ({COLUMNS}) SELECT {', '.join('?' * 26)}"


def values_of(row: RunRow) -> tuple[Any, ...]:
    """What a new row is written with, in the order of `COLUMNS`."""
    return (
        row.run_id,
        row.owner,
        row.prompt,
        json.dumps(row.limits),
        row.created_at,
        row.status,
        row.started_at,
        row.completed_at,
        row.starts,
        row.checkpoint_id,
        _json(row.budget),
        row.cancel_at,
        row.cancel_by,
        row.approve,
        row.expires_at,
        _json(row.decision),
        row.generation,
        _json(row.retry),
        row.forked_from,
        _json(row.seed),
        *facts_values(row.facts),
    )


def facts_values(facts: Facts) -> tuple[Any, ...]:
    """The last columns: what is known of the run's course."""
    tools = json.dumps(facts.tools)
    return facts.planner, facts.model, tools, facts.usd, facts.retries, facts.taken_up


def _json(value: object) -> str | None:
    return json.dumps(value) if value else None


def row_of(row: Sequence[Any]) -> RunRow:
    """The run of a row that was read."""
    (
        run_id,
        owner,
        prompt,
        limits,
        created_at,
        status,
        started_at,
        completed_at,
        starts,
        checkpoint_id,
        budget,
        cancel_at,
        cancel_by,
        approve,
        expires_at,
        decision,
        generation,
        retry,
        forked_from,
        seed,
        planner,
        model,
        tools,
        usd,
        retries,
        taken_up,
    ) = row
    return RunRow(
        run_id=run_id,
        owner=owner,
        prompt=prompt,
        limits=json.loads(limits),
        created_at=created_at,
        status=status,
        started_at=started_at,
        completed_at=completed_at,
        starts=starts,
        checkpoint_id=checkpoint_id,
        budget=json.loads(budget) if budget else None,
        cancel_at=cancel_at,
        cancel_by=cancel_by,
        approve=approve,
        expires_at=expires_at,
        decision=json.loads(decision) if decision else None,
        generation=generation,
        retry=json.loads(retry) if retry else None,
        forked_from=forked_from,
        seed=json.loads(seed) if seed else None,
        facts=Facts(
            planner=planner,
            model=model,
            tools=tuple(json.loads(tools)),
            usd=usd,
            retries=retries,
            taken_up=taken_up,
        ),
    )
