"""A shop that refuses at first, lacks some things, and says what no page may take for markup."""

import asyncio

from tools.registry import tool

#: How `RUNWRIGHT_TOOLS` names them.
SHOP = ",".join(f"tests.support.own_tools.shop_tool:{name}" for name in ("order", "say", "ship"))

#: What would call `hacked` if any page took it for more than text.
MARKUP = "<img src=x onerror=hacked()><script>hacked()</script>"

_asked: dict[str, int] = {}


@tool("shop.order", effects=True, idempotent=True, phrases=["order {item}"])
async def order(item: str) -> str:
    """Order an item from the shop; it refuses bread and flour twice, and never has a unicorn."""
    _asked[item] = _asked.get(item, 0) + 1
    if item == "flour":  # which is for pictures, where one is to see that it took its time
        await asyncio.sleep(0.3)
    if item in ("bread", "flour") and _asked[item] % 3:
        raise ConnectionRefusedError("the shop refused the connection")
    if "unicorn" in item:
        raise ValueError(f"the shop has no {item} {MARKUP}")
    return f"ordered {item}"


@tool("shop.say", effects=False, phrases=["say {words}"])
async def say(words: str) -> dict[str, str]:
    """Say words, with <img src=x onerror=hacked()> in the description of the tool."""
    return {words: f"{MARKUP} {words}"}


@tool("shop.ship", effects=True, timeout=0.05, phrases=["ship {item}"])
async def ship(item: str) -> str:
    """Ship an item; whether it was shipped nobody ever hears."""
    await asyncio.Event().wait()
    return item
