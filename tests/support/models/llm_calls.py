"""Calls of models against a capture server: what they ask, and whom."""

import asyncio
from typing import Any

import pytest

from graph.models.client import LiteLlmModel
from nodes.planning.model import Completion, ModelFailure
from tests.support.models.capture_server import (
    CaptureServer,
    anthropic_answer,
    ollama_answer,
    openai_answer,
)
from tests.support.patience import patience

OPENAI = "openai/gpt-5-mini"
ANTHROPIC = "anthropic/claude-sonnet-4-5"
OLLAMA = "ollama_chat/qwen2.5:3b"

PROMPT = "remind me of the canary prompt"
MESSAGES = [{"role": "system", "content": "You plan."}, {"role": "user", "content": PROMPT}]
SCHEMA = {
    "type": "object",
    "properties": {"steps": {"type": "array", "items": {"type": "string"}}},
    "required": ["steps"],
    "additionalProperties": False,
}
PLAN = '{"steps": []}'

#: Each provider's model, and a plan in its provider's form.
ANSWERS = {
    OPENAI: openai_answer(PLAN),
    ANTHROPIC: anthropic_answer({"type": "text", "text": PLAN}),
    OLLAMA: ollama_answer(PLAN),
}

each_provider = pytest.mark.parametrize("name", ANSWERS)


def model(server: CaptureServer, name: str, **settings: Any) -> LiteLlmModel:
    """The model, reached at the server."""
    base = f"{server.url}/v1" if name.startswith("openai/") else server.url
    return LiteLlmModel(name, **{"max_tokens": 800, "api_base": base, **settings})


async def complete(server: CaptureServer, name: str, **settings: Any) -> Completion:
    """One call, whose client is loaded before."""
    one = model(server, name, **settings)
    await asyncio.to_thread(one.warm)
    return await one.complete(MESSAGES, SCHEMA, timeout=patience())


async def failure(server: CaptureServer, name: str, **settings: Any) -> ModelFailure:
    """One call that fails."""
    with pytest.raises(ModelFailure) as raised:
        await complete(server, name, **settings)
    return raised.value
