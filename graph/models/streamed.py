"""What a streamed answer says of itself on the wire, as it passes on its way to its client.

Clients make up what they are not told: an end where a connection was closed in the middle, and
tokens that they count for themselves.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import httpx

from graph.models.answers import can_be, holds_error
from nodes.planning.model import ModelFailure, is_count

#: The largest message of a stream, in bytes.
LONGEST_LINE = 4 * 2**20

_STREAMS = ("text/event-stream", "application/x-ndjson", "application/json-lines")

#: By these names providers count what was read, and what was written.
_READ = frozenset({"prompt_tokens", "input_tokens", "promptTokenCount", "prompt_eval_count"})
_WRITTEN = frozenset({"completion_tokens", "output_tokens", "candidatesTokenCount", "eval_count"})

_COUNTS = _READ | _WRITTEN


@dataclass
class StreamFacts:
    """What was seen of a stream: how it counts, and whether it came to the end that it says.

    `known` says whether it is of a form that is read here; of another nothing is known.
    """

    known: bool = False
    ended: bool = False
    refused: bool = False
    impossible: bool = False
    counts: set[str] = field(default_factory=set)

    @property
    def told_usage(self) -> bool:
        """Whether the provider has said how much was read and written."""
        both = bool(self.counts & _READ) and bool(self.counts & _WRITTEN)
        return both and not self.impossible

    @property
    def is_cut(self) -> bool:
        """Whether it ended in the middle."""
        return self.known and not self.ended

    def see(self, line: bytes) -> None:
        """Take notice of a line. Raises `ModelFailure` where it is an error."""
        payload = line.strip().removeprefix(b"data:").strip()
        if not payload.startswith(b"{"):
            return
        try:
            body = json.loads(payload)
        except (ValueError, RecursionError):
            return  # which is for the client
        if holds_error(body):
            raise ModelFailure("error_in_answer", transient=True)
        self._see_end(body)
        message = body.get("message")
        for part in (body, message if isinstance(message, dict) else {}):
            for name in ("usage", "usageMetadata"):
                if part.get(name):
                    self._see_usage(part[name])
        if body.get("done") is True:
            self._see_usage({name: body[name] for name in _COUNTS if name in body})

    def _see_end(self, body: Mapping[str, Any]) -> None:
        choices, candidates, kind = body.get("choices"), body.get("candidates"), body.get("type")
        if isinstance(choices, list):  # OpenAI, and all who speak its language
            self.known = self.known or bool(choices)
            parts = [one for one in choices if isinstance(one, dict)]
            self.ended = self.ended or any(one.get("finish_reason") for one in parts)
            deltas = (one.get("delta") for one in parts)
            self.refused = self.refused or any(
                isinstance(one, dict) and one.get("refusal") for one in deltas
            )
        elif isinstance(candidates, list):  # Gemini
            parts = [one for one in candidates if isinstance(one, dict)]
            self.known = True
            self.ended = self.ended or any(one.get("finishReason") for one in parts)
        elif kind in ("message_start", "message_stop"):  # Anthropic
            self.known = True
            self.ended = self.ended or kind == "message_stop"
        elif isinstance(body.get("done"), bool):  # Ollama
            self.known = True
            self.ended = self.ended or body["done"]

    def _see_usage(self, usage: Any) -> None:
        if not can_be(usage):
            self.impossible = True
            return
        self.counts |= {name for name in _COUNTS & usage.keys() if is_told(usage[name])}


def is_told(count: object) -> bool:
    """Whether it is a number of tokens; zero is how some say that they do not know."""
    return bool(is_count(count) and count)


#: The facts of the stream that the running call waits for; None where its answer comes whole.
expected: ContextVar[StreamFacts | None] = ContextVar("expected_stream", default=None)


def is_stream(response: httpx.Response) -> bool:
    """Whether an answer comes part by part, in a form that can be looked at."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in _STREAMS and "content-encoding" not in response.headers


class SeenStream(httpx.AsyncByteStream):
    """The parts of an answer, each handed on as soon as its lines were looked at."""

    def __init__(self, stream: httpx.AsyncByteStream, facts: StreamFacts) -> None:
        self._stream = stream
        self._facts = facts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The parts as they come. Raises `ModelFailure` where one holds an error."""
        begun = bytearray()
        async for part in self._stream:
            begun += part
            *lines, begun = begun.split(b"\n")
            for line in lines:
                self._facts.see(bytes(line))
            if len(begun) > LONGEST_LINE:
                raise ModelFailure("malformed_answer", transient=True)
            yield part
        self._facts.see(bytes(begun))

    async def aclose(self) -> None:
        """Close what the parts come from."""
        await self._stream.aclose()
