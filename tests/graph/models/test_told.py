"""What a provider tells beside its answer: counts that cannot be, errors in good clothes, waits."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from graph.models.client import close_clients
from graph.models.connections import checked
from nodes.planning.model import MOST_TOKENS, Completion, ModelFailure
from tests.support.models.capture_server import CaptureServer, capturing
from tests.support.models.llm_calls import (
    ANSWERS,
    ANTHROPIC,
    OLLAMA,
    OPENAI,
    PLAN,
    complete,
    each_provider,
    failure,
)

#: Where each provider tells the tokens that it read and wrote.
COUNTS = {
    OPENAI: ("prompt_tokens", "completion_tokens"),
    ANTHROPIC: ("input_tokens", "output_tokens"),
    OLLAMA: ("prompt_eval_count", "eval_count"),
}

IMPOSSIBLE = [-1, -(10**9), MOST_TOKENS + 1, 10**20, 1.5, True, "100", [100], {"all": 100}]


@pytest.fixture
def server() -> Iterator[CaptureServer]:
    with capturing() as started:
        yield started


@pytest.fixture(autouse=True)
async def _closed() -> AsyncIterator[None]:
    yield
    await close_clients()


def telling(name: str, **told: Any) -> Any:
    """The provider's answer, with these counts in it."""
    body = json.loads(json.dumps(ANSWERS[name]))
    (body if name == OLLAMA else body["usage"]).update(told)
    return body


def assert_not_told(completion: Completion) -> None:
    """The plan is there; what it took is not known, which budgets count as the worst case."""
    assert completion == Completion(PLAN, "stop")


@each_provider
@pytest.mark.parametrize("side", [0, 1], ids=["read", "written"])
@pytest.mark.parametrize("count", IMPOSSIBLE, ids=str)
async def test_a_count_that_cannot_be_is_not_told(
    server: CaptureServer, name: str, side: int, count: Any
) -> None:
    server.answer = telling(name, **{COUNTS[name][side]: count})

    assert_not_told(await complete(server, name))
    assert len(server.requests) == 1


@each_provider
@pytest.mark.parametrize("digits", ["1e999", "-1e999", "9" * 5000], ids=["inf", "-inf", "long"])
async def test_a_number_that_nobody_can_read_is_not_told(
    server: CaptureServer, name: str, digits: str
) -> None:
    server.answer = json.dumps(telling(name, **{COUNTS[name][0]: "HERE"})).replace('"HERE"', digits)

    assert_not_told(await complete(server, name))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (OPENAI, {"prompt_tokens_details": {"cached_tokens": 101}}),
        (OPENAI, {"prompt_tokens_details": {"cached_tokens": -1}}),
        (OPENAI, {"completion_tokens_details": {"reasoning_tokens": 10**6}}),
        (OPENAI, {"completion_tokens_details": {"reasoning_tokens": True}}),
        (ANTHROPIC, {"cache_read_input_tokens": -500, "cache_creation_input_tokens": 500}),
        (ANTHROPIC, {"cache_creation_input_tokens": 10**12}),
    ],
)
async def test_nor_are_parts_larger_than_their_whole(
    server: CaptureServer, name: str, told: dict[str, Any]
) -> None:
    server.answer = telling(name, **told)

    assert_not_told(await complete(server, name))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (OPENAI, {"prompt_tokens_details": {"cached_tokens": 100, "audio_tokens": None}}),
        (OPENAI, {"completion_tokens_details": {"reasoning_tokens": 20}}),
        (OPENAI, {"prompt_tokens": 100.0}),
        (ANTHROPIC, {"cache_read_input_tokens": 0, "service_tier": "standard"}),
    ],
)
async def test_what_can_be_is_told(server: CaptureServer, name: str, told: dict[str, Any]) -> None:
    server.answer = telling(name, **told)
    completion = await complete(server, name)

    assert (completion.input_tokens, completion.output_tokens) == (100, 20)
    assert completion.usd is not None
    assert completion.usd > 0


@pytest.mark.parametrize("usage", [None, [], "much", 5, {}], ids=str)
@pytest.mark.parametrize("name", [OPENAI, ANTHROPIC])
async def test_usage_that_is_none_is_not_told(server: CaptureServer, name: str, usage: Any) -> None:
    server.answer = {**ANSWERS[name], "usage": usage}

    assert_not_told(await complete(server, name))


@each_provider
async def test_usage_that_is_left_out_is_not_made_up(server: CaptureServer, name: str) -> None:
    left_out = {"usage", *COUNTS[OLLAMA]}
    server.answer = {key: told for key, told in ANSWERS[name].items() if key not in left_out}

    assert_not_told(await complete(server, name))


@pytest.mark.parametrize("usd", [-250.0, float("nan"), float("inf"), 1e20])
async def test_a_price_that_cannot_be_is_not_known(usd: float) -> None:
    completion = Completion(PLAN, "stop", input_tokens=1, output_tokens=1, usd=usd)

    assert (completion.input_tokens, completion.usd) == (1, None)


SAID = {"message": "overloaded", "type": "overloaded_error"}


@each_provider
@pytest.mark.parametrize(
    "body",
    [
        {"error": SAID},
        {"error": "down"},
        {"error": True},
        {"error": {**SAID, "code": 429}},
        {"error": {**SAID, "code": "insufficient_quota"}},
        {"type": "error", "error": SAID},
        {"object": "error", "message": "down", "code": 500},
        {"errors": [SAID]},
        [{"error": SAID}],
        {"choices": None, "error": SAID},
        {"choices": [{"error": SAID, "finish_reason": "error", "message": {"content": "x"}}]},
    ],
    ids=str,
)
async def test_an_error_in_a_good_answer_is_a_passing_failure(
    server: CaptureServer, name: str, body: Any
) -> None:
    server.answer = body
    fault = await failure(server, name)

    assert (fault.error_class, fault.transient) == ("error_in_answer", True)
    assert not fault.misconfigured
    assert fault.__cause__ is fault.__context__ is None


@each_provider
@pytest.mark.parametrize(
    "body",
    [{"error": ""}, {"error": {}}, {"detail": "down"}, {"message": "down", "code": 500}, None],
    ids=str,
)
async def test_an_answer_that_is_none_is_a_passing_failure(
    server: CaptureServer, name: str, body: Any
) -> None:
    server.answer = body
    fault = await failure(server, name)

    assert (fault.error_class, fault.transient) == ("malformed_answer", True)
    assert not fault.misconfigured


@each_provider
@pytest.mark.parametrize("nothing", [None, False, "", {}], ids=str)
async def test_an_error_that_says_nothing_is_none(
    server: CaptureServer, name: str, nothing: Any
) -> None:
    server.answer = {**ANSWERS[name], "error": nothing}

    assert (await complete(server, name)).text == PLAN


async def test_what_is_told_well_is_handed_on_to_the_byte() -> None:
    for body in (b"<html>", b'{"usage": {"prompt_tokens": 1}, "x":  1.0}', b"\xff", b"[" * 9999):
        assert checked(body) == body


@each_provider
@pytest.mark.parametrize(
    ("wish", "wait"),
    [
        ("inf", 3600.0),
        ("1e999", 3600.0),
        ("3e11", 3600.0),
        ("7200", 3600.0),
        ("-5", 0.0),
        ("nan", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 3600.0),
        ("soon", None),
        ("1.5", 1.5),
    ],
)
async def test_no_wait_is_longer_than_an_hour(
    server: CaptureServer, name: str, wish: str, wait: float | None
) -> None:
    server.status, server.headers, server.answer = 429, {"Retry-After": wish}, {"error": SAID}

    assert (await failure(server, name)).retry_after == wait


async def test_whoever_makes_a_failure_it_asks_for_an_hour_at_most() -> None:
    assert ModelFailure("x", transient=True, retry_after=float("inf")).retry_after == 3600.0
