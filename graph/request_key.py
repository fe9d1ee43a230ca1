"""The keys by which a request that is sent again is known for the one it is."""

from graph.state.row import KeyedRun, RequestKey


class AlreadyAccepted(Exception):
    """The same request was accepted before, as the run `run_id`."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"accepted before, as run {run_id}")
        self.run_id = run_id


class KeyReused(Exception):
    """The key stands for another request, which made the run `run_id`."""

    def __init__(self, name: str, run_id: str) -> None:
        super().__init__(f"the key {name} stands for another request, that of run {run_id}")
        self.name = name
        self.run_id = run_id


def refuse_second(first: KeyedRun, key: RequestKey) -> None:
    """Raises `AlreadyAccepted` for the request that `first` was made of, else `KeyReused`."""
    if first.fingerprint != key.fingerprint:
        raise KeyReused(key.name, first.run_id)
    raise AlreadyAccepted(first.run_id)
