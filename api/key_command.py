"""`runwright key new`: a key, told this once, and the line by which a server knows it."""

from graph.settings.keys import InvalidKey, new_key


class NotAName(Exception):
    """No key can be made for this name; the message says why."""


def make_key(name: str) -> str:
    """The key and its setting, as lines of an environment file. Raises `NotAName`."""
    try:
        key, kept = new_key(name)
    except InvalidKey as error:
        raise NotAName(str(error)) from None
    return (
        f"# for {name}; it is shown only now\n"
        f"RUNWRIGHT_API_KEY={key}\n"
        "# for the server; entries that are there already stay, with a comma between\n"
        f"RUNWRIGHT_API_KEYS={kept}\n"
    )
