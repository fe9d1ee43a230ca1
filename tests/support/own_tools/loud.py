"""Tools that say their input in whatever they do, as a user's own may."""

import logging

from tools.registry import tool

logger = logging.getLogger("runwright.tools.loud")


@tool("loud.shout", phrases=["shout {words}"], effects=False, idempotent=True)
def shout(words: str) -> str:
    """Break."""
    raise RuntimeError(f"cannot shout {words}")


@tool("loud.lose", phrases=["lose {words}"], effects=False, idempotent=True, attempts=2)
async def lose(words: str) -> str:
    """Lose the connection."""
    raise ConnectionError(f"https://user:{words}@place.example/{words} is lost")


@tool("loud.tell", phrases=["tell {words}"], effects=False, idempotent=True)
def tell(words: str) -> str:
    """Write a line, from a thread of its own, and return the words."""
    logger.info("telling")
    return f"{words} {words}"


@tool("loud.go_on", phrases=["go on about {words}"], effects=False, idempotent=True)
def go_on(words: str) -> list[str]:
    """Return so many words that records are shown without them."""
    return [f"{words} {n}" for n in range(10_000)]
