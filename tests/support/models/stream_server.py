"""A provider that speaks OpenAI's language and streams: a part whenever a test lets it."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.models.capture_server import openai_answer
from tests.support.models.streams import openai_stream


@dataclass
class StreamServer:
    """Plans are answered with `plan`, answers in words with `words`, of which so many are let go.

    `requests` has what came in; `streams` counts those for words.
    """

    url: str
    plan: str
    words: Sequence[str]
    requests: list[Any] = field(default_factory=list)
    streams: int = 0
    _let: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def let(self, count: int) -> None:
        """Let this many words of each stream be sent, and the end with the last one."""
        with self._changed:
            self._let = count
            self._changed.notify_all()

    def wait_for(self, place: int) -> None:
        """Return once the word at this place may be sent."""
        with self._changed:
            self._changed.wait_for(lambda: self._let > place)


@contextmanager
def stream_server(plan: str, words: Sequence[str]) -> Iterator[StreamServer]:
    """A started one, on a free loopback port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            server.requests.append(body)
            if not body.get("stream"):
                whole = json.dumps(openai_answer(server.plan)).encode()
                self._begin("application/json", ("Content-Length", str(len(whole))))
                self.wfile.write(whole)
                return
            server.streams += 1
            head, *parts = openai_stream(server.words)
            self._begin("text/event-stream", ("Transfer-Encoding", "chunked"))
            with suppress(OSError):  # who asked has gone
                self._send(head)
                for place, part in enumerate(parts):
                    server.wait_for(min(place, len(server.words) - 1))
                    self._send(part)
                self.wfile.write(b"0\r\n\r\n")

        def _begin(self, kind: str, *headers: tuple[str, str]) -> None:
            self.send_response(200)
            for name, value in (("Content-Type", kind), *headers):
                self.send_header(name, value)
            self.end_headers()

        def _send(self, part: str) -> None:
            data = part.encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()

        def log_message(self, *_: Any) -> None:
            """Nothing to standard error."""

    class Listener(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that is killed is what a test wants."""

    listener = Listener(("127.0.0.1", 0), Handler)
    server = StreamServer(f"http://127.0.0.1:{listener.server_port}/v1", plan, words)
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.let(10**9)
        listener.shutdown()
        listener.server_close()
        thread.join()
