"""A model in OpenAI's format on loopback, whose answers are scripted."""

import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

#: What a model is asked to do: plan, plan on, find another way after a failure, correct a plan.
Ask = Literal["first", "look", "mend", "repair"]

_DONE = re.compile(r'^<output step="\d+"', re.MULTILINE)


@dataclass(frozen=True)
class Asked:
    """What a request asks for, and how many steps of the run are done."""

    what: Ask
    done: int

    @classmethod
    def read(cls, messages: Sequence[Any]) -> "Asked":
        """All of it stands in the messages, so that a request that is made again means the same."""
        users = [message["content"] for message in messages if message["role"] == "user"]
        last = users[-1]
        what: Ask = "look"
        if len(users) == 1:
            what = "first"
        elif last.startswith("That plan was rejected"):
            what = "repair"
        elif "has failed for good" in last:
            what = "mend"
        return cls(what, sum(len(_DONE.findall(text)) for text in users[1:]))


class Provider:
    """What the model answers now, how often it was asked, and what happens around an answer."""

    def __init__(self) -> None:
        self.url = ""
        self.count = 0
        self.answer: Callable[[Asked], str] = lambda _: "{}"
        #: Called with the number of a request before it is answered, and after.
        self.before: Callable[[int], None] = lambda _: None
        self.after: Callable[[int], None] = lambda _: None


@contextmanager
def provider() -> Iterator[Provider]:
    """A provider that listens."""
    model = Provider()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            model.count += 1
            number = model.count
            model.before(number)
            body = json.dumps(_completion(model.answer(Asked.read(asked["messages"])))).encode()
            try:
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                self.wfile.flush()
            except ConnectionError:
                self.close_connection = True  # who asked was killed
            model.after(number)

        def log_message(self, *_: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            pass  # connections of a server that was killed

    server = Quiet(("127.0.0.1", 0), Handler)
    model.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()


def _completion(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "scripted",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 850, "completion_tokens": 70, "total_tokens": 920},
    }
