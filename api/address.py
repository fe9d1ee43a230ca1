"""Where a server is reached."""


def url_of(host: str, port: int) -> str:
    """Where this machine reaches it; an address for any interface is none to call."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
