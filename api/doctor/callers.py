"""Who can reach the server where it is to listen, and by which names."""

from collections.abc import Iterator

from api.counting import counted
from api.doctor.finding import Finding, fails, ok, warning
from api.exposure import check_exposure, only_loopback
from graph.settings import InvalidSettings, Settings

CHECK = "callers"


def check_callers(settings: Settings) -> Iterator[Finding]:
    """Compare the address with the keys and the names."""
    local = only_loopback(settings.host)
    names = {key.name for key in settings.api_keys}
    try:
        check_exposure(settings)
    except InvalidSettings:
        yield fails(
            CHECK,
            f"a server without keys does not listen on {settings.host}",
            "make a key with `runwright key new NAME` and set RUNWRIGHT_API_KEYS, or set"
            " RUNWRIGHT_HOST=127.0.0.1",
        )
        return
    if not local and not names:
        yield warning(
            CHECK,
            f"everybody who reaches {settings.host} may do everything (RUNWRIGHT_OPEN_TO_ALL)",
            "make keys with `runwright key new NAME` unless something else checks who calls",
        )
    else:
        keys = counted(len(settings.api_keys), "key")
        who = f"{counted(len(names), 'owner')} with {keys}" if names else "no keys"
        yield ok(CHECK, f"{who}; {'this machine only' if local else f'on {settings.host}'}")
    if not local and not settings.allowed_hosts:
        yield warning(
            CHECK,
            f"calls by any name but localhost and {settings.host} are refused",
            "set RUNWRIGHT_ALLOWED_HOSTS to the names by which it is reached",
        )
