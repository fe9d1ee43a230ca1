"""A collector of traces on loopback: keeps what OTLP brings, or answers as badly as it is told."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

#: Whether it takes what comes, fails, answers no OTLP, no HTTP or without an end, sends elsewhere,
#: or never answers.
Manner = Literal["well", "fails", "garbage", "babbles", "elsewhere", "never", "endless"]

#: What it says where it is not well.
SAID = "what-a-collector-says"

#: What is answered without an end, piece by piece.
PIECE = b"<html>\xff" * 5_000


@dataclass
class Receiver:
    """What came so far: the versions of each span that it was sent, by its id."""

    url: str
    manner: Manner = "well"
    spans: dict[int, list[Span]] = field(default_factory=lambda: defaultdict(list))
    services: set[str] = field(default_factory=set)
    elsewhere: str = "http://127.0.0.1:9/"
    asked: int = 0
    left: int = 0  # who asked and has heard enough
    ended: threading.Event = field(default_factory=threading.Event)

    def take(self, body: bytes) -> None:
        """Keep the spans of a request."""
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            named = {one.key: one.value.string_value for one in resource.resource.attributes}
            self.services.add(named.get("service.name", ""))
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans[int.from_bytes(span.span_id)].append(span)

    def answer(self, body: bytes) -> tuple[int, bytes]:
        """What is answered to a request: a status and a body."""
        match self.manner:
            case "well":
                self.take(body)
            case "fails":
                return 503, b""
            case "garbage":
                return 200, b"<html>\xff" * 100
            case "elsewhere":
                return 307, b""
            case "never":
                self.ended.wait()
        return 200, b""

    @property
    def names(self) -> list[str]:
        """The names of the spans that came, in alphabetical order."""
        return sorted(sent[0].name for sent in [*self.spans.values()])


@contextmanager
def receiving(manner: Manner = "well") -> Iterator[Receiver]:
    """A receiver for as long as the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.asked += 1
            status, answer = receiver.answer(body)
            if receiver.manner == "endless":
                self._go_on()
                return
            with suppress(ConnectionError):  # who asked has gone away
                if receiver.manner == "babbles":
                    self.wfile.write(f"{SAID}\r\n\r\n".encode())
                    return
                self.send_response(status, None if receiver.manner == "well" else SAID)
                if status == 307:
                    self.send_header("location", receiver.elsewhere)
                self.send_header("content-length", str(len(answer)))
                if receiver.manner == "garbage":
                    self.send_header(f"{SAID} is no", "header")
                self.end_headers()
                self.wfile.write(answer)

        def _go_on(self) -> None:
            self.close_connection = True
            self.send_response(200)
            self.end_headers()
            try:
                while not receiver.ended.wait(0.01):
                    self.wfile.write(PIECE)
            except ConnectionError:
                receiver.left += 1

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        receiver = Receiver(f"http://127.0.0.1:{server.server_address[1]}", manner)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield receiver
        finally:
            receiver.ended.set()
            server.shutdown()
