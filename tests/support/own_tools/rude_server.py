"""An MCP server of bad manners, in plain JSON-RPC: most of them are what its tools are called.

`python rude_server.py FOLDER [HABIT…]`: in FOLDER it writes a line to `calls` for each call, to
`starts` for each start, and to `cancelled` for each call that it was told to give up. A file
`description` there is the description of its tool `changing`.
"""

import json
import os
import queue
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

FOLDER, HABITS = Path(sys.argv[1]), frozenset(sys.argv[2:])

READ = {"readOnlyHint": True}
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
NOTHING: dict[str, Any] = {"type": "object", "properties": {}}
CYCLE = {
    "type": "object",
    "properties": {"tree": {"$ref": "#/$defs/tree"}},
    "$defs": {
        "tree": {"type": "object", "properties": {"left": {"$ref": "#/$defs/tree"}}},
    },
}
ROUND = {
    "type": "object",
    "properties": {},
    "$ref": "#/$defs/a",
    "$defs": {"a": {"$ref": "#/$defs/a"}},
}
#: The title of a terminal, its colour, and the direction of its text.
ESCAPES = "\x1b]0;mine\x07\x1b[31m\u202e"
#: Each is twice the next one.
DOUBLING = {
    "type": "object",
    "$ref": "#/$defs/a0",
    "$defs": {
        **{f"a{at}": {"allOf": [{"$ref": f"#/$defs/a{at + 1}"}] * 2} for at in range(40)},
        "a40": {},
    },
}

_writing = threading.Lock()
_cancelled: dict[Any, threading.Event] = {}
_refused: queue.Queue[Any] = queue.Queue()


def note(file: str, line: str) -> None:
    with (FOLDER / file).open("a") as lines:
        lines.write(f"{line}\n")


def send(message: dict[str, Any]) -> None:
    with _writing:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def declared(name: str, schema: dict[str, Any] = NOTHING, **said: Any) -> dict[str, Any]:
    annotations = said.pop("hints", None)
    described = {"name": name, "description": f"It does {name}.", "inputSchema": schema, **said}
    return described if annotations is None else {**described, "annotations": annotations}


def listed() -> list[dict[str, Any]]:
    file = FOLDER / "description"
    changing = file.read_text() if file.exists() else "Return the text."
    quiet = ("slow", "die_once", "image", "large", "wrong_id", "structured", "empty")
    broken = ("too_large", "unending", "no_text")
    tools = [
        declared("echo", TEXT, hints=READ),
        declared("pay", TEXT),
        declared("set", TEXT, hints={"idempotentHint": True}),
        declared("changing", TEXT, description=changing, hints=READ),
        declared("tree", CYCLE, hints=READ),
        *(declared(name, hints=READ) for name in (*quiet, *broken)),
        *(declared(name) for name in ("die", "fail", "ask")),
    ]
    if "escapes" in HABITS:
        tools += [declared(f"painted{ESCAPES}"), {"name": f"none{ESCAPES}"}]
    if "schemas" in HABITS:
        unknown = {"type": "object", "properties": {"a": {"type": "x"}}}
        tools += [
            declared("endless", ROUND),
            declared("doubling", DOUBLING),
            declared("list", {"type": "array"}),
            declared("unknown", unknown),
            declared("elsewhere", {"type": "object", "$ref": "http://127.0.0.1:9/x"}),
            declared("echo"),
            declared("two words"),
        ]
    return tools


def once(file: str) -> bool:
    """Whether this is the first time."""
    before = (FOLDER / file).exists()
    note(file, "")
    return not before


def dawdled(number: Any, token: Any) -> bool:
    """Take a minute, or until there is a file `awake`, and tell how far it is; whether it did."""
    for done in range(1, 1_201):
        if given_up(number).wait(0.05):
            return False
        if (FOLDER / "awake").exists():
            break
        if token is not None:
            told = {"progressToken": token, "progress": done, "total": 1_200, "message": "yawns"}
            send({"method": "notifications/progress", "params": told})
    return True


def answer(number: Any, name: str, text: str, token: Any) -> dict[str, Any] | None:
    """The result of a call, unless it is given up."""
    content: list[dict[str, Any]] = [{"type": "text", "text": text}]
    if (name == "slow" or text == "slowly") and not dawdled(number, token):
        note("cancelled", name)
        return None
    if name == "fail":
        return {"content": [{"type": "text", "text": "the drawer is stuck"}], "isError": True}
    if name == "image":
        content.append({"type": "image", "mimeType": "image/png", "data": "aGVsbG8="})
    if name == "structured":
        return {"content": [], "structuredContent": {"cups": 2}}
    if name == "empty":
        content = []
    if name == "large":
        content = [{"type": "text", "text": "x" * 5_000_000}]
    if name == "wrong_id":
        send({"id": 987_654, "result": {"content": []}})
        sys.stdout.write("this is no JSON\n")
    if name == "ask":
        asked = {"message": "Sure?", "requestedSchema": NOTHING}
        send({"id": "q1", "method": "elicitation/create", "params": asked})
        refused = _refused.get(timeout=60)
        return {
            "content": [{"type": "text", "text": f"nobody answers: {refused}"}],
            "isError": True,
        }
    return {"content": content}


def write_badly(name: str) -> None:
    """Write what nobody should have to read."""
    with _writing, suppress(BrokenPipeError):
        if name == "too_large":
            sys.stdout.write("x" * 17_000_000 + "\n")
        while name == "unending":
            sys.stdout.write("x" * 1_000_000)
        if name == "no_text":
            sys.stdout.buffer.write(b"\xff\xfe\n")
        sys.stdout.flush()


def given_up(number: Any) -> threading.Event:
    return _cancelled.setdefault(number, threading.Event())


def call(number: Any, name: str, arguments: dict[str, Any], token: Any) -> None:
    note("calls", f"{name} {json.dumps(arguments)}")
    text = arguments.get("text", "")
    dies = name == "die" or text == "die"
    if dies or ((name == "die_once" or text == "die once") and once(f"died of {name}")):
        os._exit(1)
    write_badly(name)
    result = answer(number, name, text, token)
    if "flood" in HABITS:
        for _ in range(500):
            send({"method": "notifications/tools/list_changed"})
            send({"method": "notifications/message", "params": {"level": "info", "data": "x"}})
    if result is not None:
        send({"id": number, "result": result})


def initialized(params: dict[str, Any]) -> dict[str, Any]:
    return {
        "protocolVersion": params["protocolVersion"],
        "capabilities": {"tools": {"listChanged": True}},
        "serverInfo": {"name": "rude", "version": "1"},
    }


def handle(method: str | None, number: Any, params: dict[str, Any]) -> None:
    match method:
        case "initialize" if "silent" in HABITS:
            pass
        case "initialize":
            send({"id": number, "result": initialized(params)})
        case "tools/list" if "listless" in HABITS:
            pass
        case "tools/list":
            note("lists", "")
            send({"id": number, "result": {"tools": listed()}})
        case "tools/call":
            token = (params.get("_meta") or {}).get("progressToken")
            given = (number, params["name"], params.get("arguments") or {}, token)
            threading.Thread(target=call, args=given, daemon=True).start()
        case "notifications/cancelled":
            given_up(params.get("requestId")).set()
        case str() if number is not None:
            send({"id": number, "error": {"code": -32601, "message": "Method not found"}})


def watch() -> None:
    """Tell that the list has changed when there is a file `changed`."""
    while not (FOLDER / "changed").exists():
        time.sleep(0.02)
    send({"method": "notifications/tools/list_changed"})


def main() -> None:
    note("starts", str(os.getpid()))
    if "broken" in HABITS:
        sys.exit("the drawer has no lock")
    if "paints" in HABITS:
        sys.exit(f"painted {ESCAPES}")
    threading.Thread(target=watch, daemon=True).start()
    for line in sys.stdin:
        message = json.loads(line)
        if message.get("id") == "q1":
            _refused.put(message.get("error", {}).get("message"))
        handle(message.get("method"), message.get("id"), message.get("params") or {})
    if "clings" in HABITS:  # its input has ended, and it does not
        time.sleep(600)


main()
