"""The runs that are searched: as they may be, and as they are worst to find."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from graph.state import DEFAULT_LIMITS, Status
from graph.state.row import RunRow
from graph.state.run import Facts
from graph.storage.storage import RunIndex

OWNER = "default"
ACCEPTED = 1_800_000_000.0

MakeRow = Callable[[int, random.Random], RunRow]


async def fill(index: RunIndex, runs: int, row: MakeRow) -> None:
    """Accept as many runs, as they are when they have ended."""
    chance = random.Random(1)
    for first in range(0, runs, 1000):
        numbers = range(first, min(first + 1000, runs))
        await asyncio.gather(*(index.accept(row(number, chance)) for number in numbers))


def usual_row(number: int, chance: random.Random) -> RunRow:
    """One of the runs of one owner, of which nine in ten were completed."""
    planned: dict[str, Any] = {"planner": "pattern", "usd": 0.0}
    if number % 3 == 0:
        model = f"openai/gpt-{chance.randrange(5)}"
        planned = {"planner": "llm", "model": model, "usd": chance.random() / 100}
    begin, tool = ("add todo", "todo_store.add") if number % 2 else ("calculate", "calculator")
    statuses: list[Status] = ["completed", "failed", "cancelled", "running"]
    [status] = chance.choices(statuses, [90, 7, 2.9, 0.1])
    accepted = ACCEPTED + number * 5
    facts = Facts(
        **planned,
        tools=(tool,),
        retries=chance.choice((0,) * 9 + (1, 2)),
        taken_up=int(chance.random() < 0.01),
    )
    return RunRow(
        run_id=f"{chance.getrandbits(128):032x}",
        owner=OWNER,
        prompt=" ".join(
            [
                f"please {begin} list{chance.randrange(12)} page{chance.randrange(30)}",
                *(f"word{chance.randrange(3000)}" for _ in range(8)),
            ]
        ),
        limits=DEFAULT_LIMITS,
        created_at=accepted,
        status=status,
        started_at=accepted,
        completed_at=None if status == "running" else accepted + chance.random() * 10,
        facts=facts,
    )


def adverse_row(number: int, chance: random.Random) -> RunRow:
    """One of many of which a fifth are another owner's, who has a word of their own.

    Of the rest half have failed, the to-dos are the shortest and the cheapest, and the cancelled
    ones are shorter still; the first 40,000 have a word of their own.
    """
    row = usual_row(number, chance)
    if number % 5 == 0:
        return replace(row, owner="another", prompt=f"{row.prompt} theirs")
    todo, usd = "todo" in row.prompt, (row.facts.usd or 0.0) / 2
    row = replace(
        row,
        prompt=f"{row.prompt} old" if number < 40_000 else row.prompt,
        status="failed" if row.status == "completed" and chance.random() < 0.5 else row.status,
        facts=replace(row.facts, usd=usd if todo else usd + 0.005),
    )
    if row.completed_at is None:
        return row
    seconds = (row.completed_at - row.created_at) / 2 + (0 if todo else 5)
    return replace(
        row, completed_at=row.created_at + (seconds / 10 if row.status == "cancelled" else seconds)
    )
