"""A collector of traces, and the variables by which servers export to it."""

from collections.abc import Callable, Iterator

import pytest

from tests.support.deployment.otlp_receiver import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def exporting(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the standard variables for servers that export to this address."""

    def export(receiver: Receiver, **variables: str) -> None:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, **variables}
        variables = {"OTEL_BSP_SCHEDULE_DELAY": "100", **variables}
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return export
