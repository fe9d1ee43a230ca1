"""Tools of the stored runs, loaded by name as a user's own would be."""

import asyncio
from typing import Annotated, Any

from pydantic import Field

from tools.registry import ToolCall, ToolError, tool


@tool(effects=False, phrases=["forecast for {city}"])
def forecast(city: str) -> dict[str, Any]:
    """Tell tomorrow's weather in a city, the same every day: an output with every kind of value."""
    return {
        "city": city,
        "temperatures": [11, 14.5, -0.25, 1e-7, 9_007_199_254_740_993],
        "rain": None,
        "warm": True,
        "wind": {"from": "Südwest", "knots": {"mean": 8, "gusts": [12, 15]}},
        "notes": ["☂ “bring an umbrella”", "", 'a "quote", a \\ and a\nline'],
    }


@tool("letters", effects=False, phrases=["repeat {letter} for {times} times"])
def letters(letter: str, times: Annotated[int, Field(ge=0, le=10**6)]) -> str:
    """Repeat a letter, for an output as long as one wants."""
    return letter * times


@tool("charge", phrases=["charge {amount} to {name}"])
async def charge(amount: float, name: str, call: ToolCall) -> dict[str, Any]:
    """Charge somebody: it refuses what is not positive, and breaks at 13."""
    if amount == 13:
        raise ZeroDivisionError("nobody has thought of this amount")
    if amount <= 0:
        raise ToolError(f"{name} cannot be charged {amount}", retryable=False)
    return {"charged": name, "amount": amount, "owner": call.owner}


@tool("hold", effects=False, idempotent=True, phrases=["hold {thing}"])
async def hold(thing: str) -> str:
    """Hold something for as long as the process lives."""
    await asyncio.Event().wait()
    return thing


@tool("hold", effects=False, idempotent=True, phrases=["hold {thing}"])
async def let_go(thing: str) -> str:
    """Hold something no more: what `hold` is in the process that comes after."""
    return f"let go of {thing}"
