"""Who could reach the server where it is to listen."""

import socket
from ipaddress import ip_address

from graph.settings import InvalidSettings, Settings


def check_exposure(settings: Settings) -> None:
    """Raises `InvalidSettings` where others than this machine could reach a server without keys."""
    if settings.api_keys or settings.open_to_all or only_loopback(settings.host):
        return
    raise InvalidSettings(
        f"without keys the server listens on loopback only, not on {settings.host}; make a key with"
        " `runwright key new NAME` and set RUNWRIGHT_API_KEYS, or let everybody who reaches it in"
        " with RUNWRIGHT_OPEN_TO_ALL=true"
    )


def only_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return True  # nothing can listen there, as is told by who tries
    addresses = [ip_address(str(address[0]).partition("%")[0]) for *_, address in found]
    return all(address.is_loopback for address in addresses)
