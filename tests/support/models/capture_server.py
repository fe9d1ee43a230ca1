"""An HTTP server that keeps what it is sent, byte for byte, and answers as it is told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def _set_event() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


@dataclass(frozen=True)
class Captured:
    """One request."""

    path: str
    headers: dict[str, str]
    text: str

    @property
    def body(self) -> Any:
        """The JSON."""
        return json.loads(self.text)


@dataclass
class CaptureServer:
    """`answer` goes to every request: JSON, text as it is, or what makes JSON of its body.

    While `speaks` is cleared no request gets one: whatever time it is given, it runs out.
    """

    url: str
    answer: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    speaks: threading.Event = field(default_factory=_set_event)
    requests: list[Captured] = field(default_factory=list)


def openai_answer(text: str | None, *, reason: str = "stop", **message: Any) -> dict[str, Any]:
    """A chat completion of 100 tokens in and 20 out."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text, **message}}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{**choice, "finish_reason": reason}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
    }


def anthropic_answer(*content: Any, reason: str = "end_turn", output: int = 20) -> dict[str, Any]:
    """A message of 100 tokens in and `output` out."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": list(content),
        "stop_reason": reason,
        "usage": {"input_tokens": 100, "output_tokens": output},
    }


def ollama_answer(text: str, *, reason: str = "stop") -> dict[str, Any]:
    """A chat answer of 100 tokens in and 20 out."""
    return {
        "model": "m",
        "created_at": "2026-01-01T00:00:00Z",
        "message": {"role": "assistant", "content": text},
        "done": True,
        "done_reason": reason,
        "prompt_eval_count": 100,
        "eval_count": 20,
    }


@contextmanager
def capturing(port: int = 0) -> Iterator[CaptureServer]:
    """A server on a loopback port, a free one if none is given."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.requests.append(Captured(self.path, headers, text))
            server.speaks.wait()
            made = server.answer(json.loads(text)) if callable(server.answer) else server.answer
            answer = made if isinstance(made, str) else json.dumps(made)
            self.send_response(server.status)
            for name, value in {"Content-Type": "application/json", **server.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.encode())))
            self.end_headers()
            self.wfile.write(answer.encode())

        do_GET = do_POST  # noqa: N815 - as http.server calls it

        def log_message(self, *_: Any) -> None:
            """Nothing to standard error."""

    class Listener(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that went away before its answer is what some tests want."""

    listener = Listener(("127.0.0.1", port), Handler)
    server = CaptureServer(f"http://127.0.0.1:{listener.server_port}")
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.speaks.set()
        listener.shutdown()
        listener.server_close()
        thread.join()
