"""Whether it is a Runwright that answers at an address."""

import httpx

#: How long an answer is waited for, in seconds.
PATIENCE = 2.0


def answers_as_runwright(url: str) -> bool:
    """Ask for its health, which needs no key."""
    try:
        health = httpx.get(f"{url}/health", timeout=PATIENCE, trust_env=False).json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return False
    return isinstance(health, dict) and {"status", "version", "storage"} <= set(health)
