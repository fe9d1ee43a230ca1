"""`python -m benchmarks.answers`: the first token, CPU for each part, and the prompt's length.

The model is a local process that streams at once, so that what is left is ours and the client's.
"""

import argparse
import asyncio
import json
import statistics
import time
from contextlib import suppress
from typing import Any

import httpx

from api.streams import EncodedEvents
from benchmarks.answers.provider import provider
from benchmarks.answers.states import answerable
from benchmarks.table import print_table
from graph.models.client import LiteLlmModel, close_clients
from graph.runs.watch import AnswerDelta, RunSubscription
from nodes.answers.prompt import SpokenText, answer_messages
from nodes.planning.model import Message

MODEL = "openai/gpt-5-mini"

#: Words of an answer.
WORDS = 1_000

#: Readers of one answer.
WATCHERS = 50

MILK = ("todo_store.add", {"text": "buy milk"}, {"id": "1", "text": "buy milk"}, None)
LISTED = ("todo_store.list", {"status": "all"}, [{"id": "1", "text": "buy milk"}], None)


async def raw(base: str, asked: list[Message]) -> float:
    """Milliseconds to the first token without us."""
    body = {"model": "m", "messages": asked, "stream": True}
    async with httpx.AsyncClient(trust_env=False) as client:
        times = []
        for _ in range(20):
            began = time.perf_counter()
            first = 0.0
            async with client.stream("POST", f"{base}/chat/completions", json=body) as answer:
                async for line in answer.aiter_lines():
                    if not first and '"content": "word' in line:
                        first = time.perf_counter()
            times.append((first - began) * 1000)
    return statistics.median(times[5:])


async def first_token(model: LiteLlmModel, asked: list[Message]) -> float:
    """Milliseconds to the first token that is shown."""
    times = []
    for _ in range(20):
        began, spoken, shown = time.perf_counter(), SpokenText(), [0.0]

        async def tell(part: str, spoken: Any = spoken, shown: Any = shown) -> None:
            if spoken.feed(part)[0] and not shown[0]:
                shown[0] = time.perf_counter()

        await model.say(asked, timeout=60, tell=tell)
        times.append((shown[0] - began) * 1000)
    return statistics.median(times[5:])


async def client_cpu(model: LiteLlmModel, asked: list[Message]) -> float:
    """Milliseconds of CPU for 1,000 parts, read from the provider and looked at."""

    async def tell(part: str) -> None:
        spoken.feed(part)

    spoken = SpokenText()
    before = time.process_time()
    await model.say(asked, timeout=60, tell=tell)
    return (time.process_time() - before) * 1000


async def watchers_cpu() -> float:
    """Milliseconds of CPU for 1,000 parts that 50 watchers read as they are woken."""
    subscription, encoded = RunSubscription(), EncodedEvents()

    async def watch() -> None:
        spoken = 0
        while True:
            await subscription.after(0, spoken=spoken)
            encoded.spoken_after(subscription, spoken)
            spoken = subscription.spoken

    watching = [asyncio.create_task(watch()) for _ in range(WATCHERS)]
    await asyncio.sleep(0)
    before = time.process_time()
    for place in range(WORDS):
        subscription.answered(AnswerDelta(text="word ", offset=5 * place))
        await asyncio.sleep(0.001)
    taken = (time.process_time() - before) * 1000
    for task in watching:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    return taken


def tokens(*calls: Any) -> float:
    """Tokens of the prompt that asks for the answer of a run with these steps."""
    import litellm

    prompt = "Add a todo to buy milk, then show me all my tasks"
    asked, _ = answer_messages(answerable(prompt, *calls), output=4_000, context=200_000)
    return float(litellm.token_counter(model=MODEL, messages=json.loads(json.dumps(asked))))


async def figures(base: str, long: str) -> dict[str, float]:
    """One round; at `base` answers are short, at `long` they have `WORDS`."""
    model, talker = (LiteLlmModel(MODEL, max_tokens=2_000, api_base=one) for one in (base, long))
    await asyncio.to_thread(model.warm)
    await asyncio.to_thread(talker.warm)
    asked, _ = answer_messages(answerable("milk", MILK, LISTED), output=4_000, context=200_000)
    try:
        alone, ours = await raw(base, asked), await first_token(model, asked)
        return {
            "first token, raw call (ms)": alone,
            "first token, ours (ms)": ours,
            "over the raw call (ms)": ours - alone,
            "CPU for 1,000 parts, client (ms)": await client_cpu(talker, asked),
            f"CPU for 1,000 parts, {WATCHERS} watchers (ms)": await watchers_cpu(),
            "tokens of the prompt, 2 steps": tokens(MILK, LISTED),
            "tokens of the prompt, 20 steps": tokens(*[MILK, LISTED] * 10),
        }
    finally:
        await close_clients()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with provider(10) as base, provider(WORDS) as long:
        print_table([asyncio.run(figures(base, long)) for _ in range(rounds)])


if __name__ == "__main__":
    main()
