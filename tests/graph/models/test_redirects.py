"""A provider's answer that leads elsewhere is not followed: key and prompt stay with it."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from graph.models.client import close_clients
from nodes.planning.model import ModelFailure
from tests.support.models.capture_server import CaptureServer, capturing
from tests.support.models.llm_calls import ANSWERS, OPENAI, failure

KEY = "sk-canary-0123456789abcdef"

STATUSES = (301, 302, 303, 307, 308)

#: Of providers that LiteLLM asks in other ways than the three of `ANSWERS`.
OTHERS = (
    "azure/gpt-5",
    "gemini/gemini-2.5-flash",
    "groq/llama",
    "mistral/mistral-small",
    "openrouter/x/y",
)


@dataclass
class Place:
    """A provider, and another host that would take whatever comes."""

    provider: CaptureServer
    other: CaptureServer

    async def sent_to(self, name: str, location: str, status: int) -> ModelFailure:
        """The failure of a call that is answered with a redirect."""
        self.provider.status, self.provider.headers = status, {"Location": location}
        self.provider.answer = {"moved": location}
        return await failure(self.provider, name, api_key_env="CANARY_KEY")


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("CANARY_KEY", KEY)
    monkeypatch.setenv("AZURE_API_VERSION", "2024-10-21")
    with capturing() as provider, capturing() as other:
        yield Place(provider, other)


@pytest.fixture(autouse=True)
async def _closed() -> AsyncIterator[None]:
    yield
    await close_clients()


def assert_stayed(place: Place, fault: ModelFailure, told: str) -> None:
    """One request, nobody else asked, and a person is needed, who is told where it led."""
    assert (fault.error_class, fault.transient, fault.misconfigured) == ("redirected", False, True)
    assert len(place.provider.requests) == 1
    assert KEY in str(place.provider.requests[0].headers) or KEY in place.provider.requests[0].path
    assert place.other.requests == []
    assert fault.detail is not None
    assert fault.detail.endswith(told)
    assert KEY not in fault.detail
    assert fault.__cause__ is fault.__context__ is None


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("name", ANSWERS)
async def test_another_host_gets_neither_key_nor_prompt(
    place: Place, name: str, status: int
) -> None:
    place.other.answer = ANSWERS[name]
    fault = await place.sent_to(name, f"{place.other.url}/v1/x?key={KEY}#{KEY}", status)

    assert_stayed(
        place, fault, f"HTTP {status}, which no call of a model follows, to {place.other.url}"
    )


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("name", ANSWERS)
async def test_nor_is_a_redirect_within_the_host_followed(
    place: Place, name: str, status: int
) -> None:
    fault = await place.sent_to(name, "/elsewhere", status)

    assert_stayed(place, fault, f"to {place.provider.url}")


@pytest.mark.parametrize("name", OTHERS)
async def test_the_same_holds_for_providers_that_are_asked_in_other_ways(
    place: Place, name: str
) -> None:
    fault = await place.sent_to(name, f"{place.other.url}/v1", 307)

    assert_stayed(place, fault, f"to {place.other.url}")


@pytest.mark.parametrize(
    ("location", "told"),
    [
        (f"https://user:{KEY}@example.org:8443/{KEY}", "to https://example.org:8443"),
        (f"https://{KEY}.example.org/", "to a place that is not told"),
        (
            f"https://{'a' * 60}.{'b' * 60}.{'c' * 60}.{'d' * 60}.org/",
            "to a place that is not told",
        ),
        ("//example.org/x", "to http://example.org"),
        ("https://[oops]/", "which no call of a model follows"),
    ],
)
async def test_of_the_place_only_scheme_host_and_port_are_told(
    place: Place, location: str, told: str
) -> None:
    assert_stayed(place, await place.sent_to(OPENAI, location, 308), told)


async def test_an_answer_that_is_none_and_leads_nowhere_is_no_passing_failure(place: Place) -> None:
    place.provider.status = 300
    fault = await failure(place.provider, OPENAI)

    assert (fault.error_class, fault.transient) == ("redirected", False)
