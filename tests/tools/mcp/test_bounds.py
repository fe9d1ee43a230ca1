"""What a server may send: what is beyond that ends its session, and is told."""

import codecs
import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import reduce
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.own_tools.mcp_files import connected
from tests.support.patience import until
from tools.mcp.definitions import LARGE, MAX_PARTS, MAX_TOOLS, MAX_VALUES, bounded_lines, fault_of

TOO_LARGE = "it sent a message of more than 16 MB"
TOO_MANY = "it sent a message of more than 200,000 values"

#: What an address answers to a method, beside its handshake: the kind, the encoding and the body.
Answer = Callable[[str, dict[str, Any]], tuple[str, str, bytes]]


def result(asked: dict[str, Any], **told: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": told}).encode()


@contextmanager
def address(answer: Answer) -> Iterator[dict[str, Any]]:
    """The entry of a server at an address that answers so."""

    class Address(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            kind, encoding, body = "application/json", "identity", b""
            if asked["method"] == "initialize":
                body = result(
                    asked,
                    protocolVersion=asked["params"]["protocolVersion"],
                    capabilities={"tools": {}},
                    serverInfo={"name": "far", "version": "1"},
                )
            elif asked["method"] in ("tools/list", "tools/call"):
                kind, encoding, body = answer(asked["method"], asked)
            elif "id" in asked:
                fault = {"code": -32601, "message": "Method not found"}
                body = json.dumps({"jsonrpc": "2.0", "id": asked["id"], "error": fault}).encode()
            self.send_response(200 if body else 202)
            for name, value in (("type", kind), ("encoding", encoding), ("length", len(body))):
                self.send_header(f"content-{name}", str(value))
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Address) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {"url": f"http://127.0.0.1:{server.server_port}/mcp"}
        server.shutdown()


def listed(name: str, **said: Any) -> dict[str, Any]:
    return {"name": name, "inputSchema": {"type": "object"}, **said}


LONG = {"tools": [], "_meta": {"x": "y" * 17_000_000}}
MANY = {"tools": [], "_meta": {"x": [1] * (MAX_VALUES + 2)}}


def as_json(told: dict[str, Any]) -> Answer:
    return lambda _, asked: ("application/json", "identity", result(asked, **told))


def as_event(told: dict[str, Any], before: str = "") -> Answer:
    def answer(_: str, asked: dict[str, Any]) -> tuple[str, str, bytes]:
        event = before.encode() + b"event: message\ndata: " + result(asked, **told) + b"\n\n"
        return "text/event-stream", "identity", event

    return answer


def as_packed(_: str, asked: dict[str, Any]) -> tuple[str, str, bytes]:
    return "application/json", "gzip", gzip.compress(result(asked, tools=[]))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (as_json(LONG), TOO_LARGE),
        (as_event(LONG), TOO_LARGE),
        (as_json(MANY), TOO_MANY),
        (as_event(MANY), TOO_MANY),
        (as_event(MANY, before=': "\n'), TOO_MANY),
        (as_packed, "it sent a packed answer"),
    ],
    ids=["long", "long event", "many", "many in an event", "behind a quote", "packed"],
)
async def test_an_answer_of_an_address_is_bounded(
    tmp_path: Path, answer: Answer, reason: str
) -> None:
    with address(answer) as far:
        async with connected(tmp_path, far=far) as (_, opened):
            assert opened.health()["far"]["reason"] == reason


async def test_events_are_read_one_by_one(tmp_path: Path) -> None:
    """However many come in one answer, here 24 MB of them, and however their lines end."""

    def answer(method: str, asked: dict[str, Any]) -> tuple[str, str, bytes]:
        if method == "tools/list":
            return "application/json", "identity", result(asked, tools=[listed("echo")])
        note = {"jsonrpc": "2.0", "method": "notifications/message"}
        params = {"level": "info", "data": "x," * 4 * LARGE}
        event = b"data: " + json.dumps({**note, "params": params}).encode()
        last = result(asked, content=[{"type": "text", "text": "back"}])
        ends = (b"\r\n\r\n", b"\n\n", b"\r\r", b"\n\r\n")
        return (
            "text/event-stream",
            "identity",
            b"".join([*(event + end for end in ends * 3), b"data: ", last, b"\n\n"]),
        )

    with address(answer) as far:
        async with connected(tmp_path, far=far) as (tools, _):
            assert await tools["far.echo"].ainvoke({}) == "back"


PAGE = [listed(f"a{number}") for number in range(MAX_TOOLS - 1)]


async def test_only_so_many_tools_of_a_page_are_looked_at(tmp_path: Path) -> None:
    page = [*PAGE, {"name": "unfit"}, {"name": "late"}]
    with address(as_json({"tools": page})) as far:
        async with connected(tmp_path, far=far) as (tools, opened):
            assert len(tools) == MAX_TOOLS - 1
            [left_out] = opened.health()["far"]["left_out"]
            assert "unfit" in left_out


async def test_only_so_many_tools_of_all_pages_are_taken(tmp_path: Path) -> None:
    def answer(_: str, asked: dict[str, Any]) -> tuple[str, str, bytes]:
        told: dict[str, Any] = {"tools": PAGE, "nextCursor": "1"}
        if "cursor" in (asked.get("params") or {}):
            told = {"tools": [listed("b1"), listed("b2")]}
        return "application/json", "identity", result(asked, **told)

    with address(answer) as far:
        async with connected(tmp_path, far=far) as (tools, _):
            assert len(tools) == MAX_TOOLS
            assert "far.b1" in tools


async def test_an_answer_has_only_so_many_parts(tmp_path: Path) -> None:
    def answer(method: str, asked: dict[str, Any]) -> tuple[str, str, bytes]:
        told: dict[str, Any] = {"tools": [listed("echo")]}
        if method == "tools/call":
            told = {"content": [{"type": "text", "text": ""}] * (MAX_PARTS + 1)}
        return "application/json", "identity", result(asked, **told)

    with address(answer) as far:
        async with connected(tmp_path, far=far) as (tools, opened):
            with pytest.raises(ConnectionError):
                await tools["far.echo"].ainvoke({})
            await until(lambda: opened.health()["far"]["state"] == "ready")


async def test_nothing_is_checked_by_the_schema_of_an_answer(tmp_path: Path) -> None:
    """The check would have no bound: this one doubles its work forty times."""
    doubling: dict[str, Any] = reduce(
        lambda defs, at: {**defs, f"a{at}": {"allOf": [{"$ref": f"#/$defs/a{at + 1}"}] * 2}},
        range(40),
        {"a40": {}},
    )
    schema = {"type": "object", "$ref": "#/$defs/a0", "$defs": doubling}

    def answer(method: str, asked: dict[str, Any]) -> tuple[str, str, bytes]:
        told: dict[str, Any] = {"tools": [listed("echo", outputSchema=schema)]}
        if method == "tools/call":
            told = {"content": [], "structuredContent": {"cups": 2}}
        return "application/json", "identity", result(asked, **told)

    with address(answer) as far:
        async with connected(tmp_path, far=far) as (tools, _):
            assert await tools["far.echo"].ainvoke({}) == {"cups": 2}


def test_what_stands_in_a_text_is_no_value() -> None:
    texts = ["a,b" * 100_000, json.dumps(["x"] * 100_000), "\\\\" * 300_000 + '",' * 1_000]
    for text in texts:
        assert fault_of(json.dumps({"text": text}).encode()) is None
        assert fault_of(json.dumps({"text": text, "x": [text, *[1] * 199_990]}).encode()) is None
        assert fault_of(json.dumps({"text": text, "x": [0] * 200_010}).encode()) == TOO_MANY
    assert fault_of(json.dumps({"x": ["a"] * 100_010}).encode()) == TOO_MANY
    assert fault_of(b"[" + b"\n" * 300_000 + b"]") == TOO_MANY


async def test_a_line_that_comes_in_many_pieces_is_put_together_once(tmp_path: Path) -> None:
    """Each piece is looked at, and none of those before it again."""
    with bounded_lines(pytest.fail) as name:
        decoder = codecs.getincrementaldecoder(name)()

    assert [decoder.decode(piece) for piece in (b'{"a', b"\xc3", b"\xa9", b'": 1}\n{')] == [
        *("", "", ""),
        '{"aé": 1}\n',
    ]
    assert decoder.decode(b"}\n\n{") == "{}\n\n"
