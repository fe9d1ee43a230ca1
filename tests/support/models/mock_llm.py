"""aimock: a mock that others wrote of the providers' wire formats, all of them on one port."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aimock_pytest import AIMockServer
from aimock_pytest._node_manager import NodeManager

#: A model of each provider, and where aimock speaks its language.
PROVIDERS = {
    "openai/gpt-5-mini": "/v1",
    "anthropic/claude-sonnet-4-5": "",
    "ollama_chat/qwen2.5:3b": "",
}


class MockLlm:
    """The scripted server; every request gets the one answer that was set last."""

    def __init__(self, server: AIMockServer) -> None:
        self._server = server

    def base_of(self, model: str) -> str:
        """The `api_base` for one of `PROVIDERS`."""
        return f"{self._server.url}{PROVIDERS[model]}"

    def answers(self, text: str, *, chaos: dict[str, Any] | None = None, **overrides: Any) -> None:
        """Answer with `text`; `overrides` are aimock's (`usage`, `finishReason`).

        `chaos` has aimock's faults, as `{"malformedRate": 1}`.
        """
        self._set({"content": text, **overrides}, **({"chaos": chaos} if chaos else {}))

    def fails(self, status: int, *, retry_after: int | None = None, **error: str) -> None:
        """Answer with an HTTP error; `error` has its `message`, `type` and `code`."""
        self._set(
            {
                "status": status,
                "error": {"message": "no", **error},
                **({} if retry_after is None else {"retryAfter": retry_after}),
            }
        )

    def script(self, *fixtures: dict[str, Any]) -> None:
        """Answer the first request with the first fixture, and so on; the last goes on for good."""
        self._server.reset()
        for place, fixture in enumerate(fixtures[:-1]):
            self._server.add_fixture({}, **fixture, sequenceIndex=place)
        self._server.add_fixture({}, **fixtures[-1])

    @property
    def requests(self) -> list[dict[str, Any]]:
        """What came in since the answer was set, in OpenAI's form."""
        return self._server.get_journal()

    def _set(self, response: dict[str, Any], **options: Any) -> None:
        self._server.reset()
        self._server.add_fixture({}, response, **options)


@contextmanager
def mock_llm() -> Iterator[MockLlm]:
    """A started aimock. Without its files the test is skipped, which CI does not allow."""
    if not os.environ.get("AIMOCK_CLI_PATH"):
        reason = "AIMOCK_CLI_PATH does not name the dist/cli.js of npm's @copilotkit/aimock"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    server = AIMockServer(NodeManager())
    server.start()
    process = server._proc
    assert process is not None
    assert process.stdout is not None
    with process.stdout:  # which aimock's own wrapper leaves open
        try:
            yield MockLlm(server)
        finally:
            server.stop()
