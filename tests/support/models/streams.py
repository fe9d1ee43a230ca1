"""Answers as providers stream them: each in its own form, of 100 tokens in and 20 out."""

import json
from collections.abc import Callable, Sequence
from typing import Any

OPENAI = "openai/gpt-5-mini"
ANTHROPIC = "anthropic/claude-sonnet-4-5"
GEMINI = "gemini/gemini-2.5-flash"
OLLAMA = "ollama_chat/qwen2.5:3b"

SSE = {"Content-Type": "text/event-stream; charset=utf-8"}
NDJSON = {"Content-Type": "application/x-ndjson"}


def sse(*messages: Any) -> list[str]:
    """Messages of server-sent events, as texts."""
    return [f"data: {json.dumps(message)}\n\n" for message in messages]


def openai_stream(
    words: Sequence[str],
    *,
    usage: dict[str, Any] | None = None,
    reason: str = "stop",
    **delta: Any,
) -> list[str]:
    """Chunks of a chat completion; the usage comes last, beside no choice."""

    def chunk(*choices: Any, **more: Any) -> dict[str, Any]:
        head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        return {**head, "choices": list(choices), **more}

    def choice(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return {"index": 0, "delta": delta, "finish_reason": reason}

    told = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    return [
        *sse(chunk(choice({"role": "assistant", "content": "", **delta}))),
        *sse(*(chunk(choice({"content": word})) for word in words)),
        *sse(chunk(choice({}, reason))),
        *([] if usage == {} else sse(chunk(usage=usage or told))),
        "data: [DONE]\n\n",
    ]


def anthropic_stream(words: Sequence[str], *, reason: str = "end_turn") -> list[str]:
    """Events of a message: what was read is told at its start, what was written at its end."""
    message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": []}
    begin = {**message, "stop_reason": None, "usage": {"input_tokens": 100, "output_tokens": 1}}
    deltas = [{"type": "text_delta", "text": word} for word in words]
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": begin},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": reason},
            "usage": {"output_tokens": 20},
        },
        {"type": "message_stop"},
    ]
    return [f"event: {event['type']}\n{text}" for event in events for text in sse(event)]


def gemini_stream(words: Sequence[str]) -> list[str]:
    """Parts of a generated content; each tells the usage so far."""
    usage = {"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 120}

    def part(word: str, *, last: bool) -> dict[str, Any]:
        content = {"role": "model", "parts": [{"text": word}]}
        ended = {"finishReason": "STOP"} if last else {}
        return {"candidates": [{"content": content, "index": 0, **ended}], "usageMetadata": usage}

    count = len(words)
    return sse(*(part(word, last=place == count) for place, word in enumerate(words, start=1)))


def ollama_stream(words: Sequence[str]) -> list[str]:
    """Lines of a chat; the last one has the counts."""
    head = {"model": "qwen2.5:3b", "created_at": "2026-01-01T00:00:00Z"}
    lines = [{**head, "message": {"role": "assistant", "content": word}} for word in words]
    counts = {"done_reason": "stop", "prompt_eval_count": 100, "eval_count": 20}
    end = {**head, "message": {"role": "assistant", "content": ""}, "done": True, **counts}
    return [json.dumps(line) + "\n" for line in (*({**one, "done": False} for one in lines), end)]


#: How each provider streams an answer of some words, and under which headers.
STREAMS: dict[str, tuple[Callable[[Sequence[str]], list[str]], dict[str, str]]] = {
    OPENAI: (openai_stream, SSE),
    ANTHROPIC: (anthropic_stream, SSE),
    GEMINI: (gemini_stream, SSE),
    OLLAMA: (ollama_stream, NDJSON),
}
