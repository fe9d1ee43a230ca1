"""What is wrong with a request, field by field: bodies, parameters, headers."""

import json
from collections.abc import Mapping
from typing import Any

import httpx

from tests.support.runs.fake_runs import MAX_PROMPT, FakeRuns
from tests.support.runs.run_states import queued
from tests.support.servers.asgi_clients import serving

JSON = {"content-type": "application/json"}

#: Bodies of `POST /runs` that cannot be right, and the field at fault.
BODIES: Mapping[str, tuple[bytes, str]] = {
    "body.empty": (b"", "body"),
    "body.blank": (b" ", "body"),
    "body.open": (b'{"prompt": "hello"', "body"),
    "body.single-quotes": (b"{'prompt': 'hello'}", "body"),
    "body.two": (b'{"prompt": "hello"} {}', "body"),
    "body.control-character": (b'{"prompt": "hel\nlo"}', "body"),
    "body.latin-1": (b'{"prompt": "hell\xf6"}', "body"),
    "body.utf-16": ('{"prompt": "hello"}'.encode("utf-16"), "body"),
    "body.bom": (b'\xef\xbb\xbf{"prompt": "hello"}', "body"),
    "body.key-twice": (b'{"prompt": "one", "prompt": "two"}', "body"),
    "body.nan": (b'{"prompt": NaN}', "body"),
    "body.infinity": (b'{"prompt": -Infinity}', "body"),
    "body.long-number": (b'{"prompt": ' + b"9" * 5000 + b"}", "body"),
    "body.deep-array": (b"[" * 60_000, "body"),
    "body.deep-object": (b'{"a":' * 10_000, "body"),
    "body.null": (b"null", "body"),
    "body.array": (b'["hello"]', "body"),
    "body.string": (b'"hello"', "body"),
    "body.number": (b"42", "body"),
    "body.unknown-field": (b'{"promt": "hello"}', "body"),
    "body.unknown-field-besides": (b'{"prompt": "hello", "engine": "m"}', "body"),
    "body.unknown-surrogate": (b'{"prompt": "hello", "\\ud800": 1}', "body"),
    "prompt.missing": (b"{}", "prompt"),
    "prompt.null": (b'{"prompt": null}', "prompt"),
    "prompt.number": (b'{"prompt": 42}', "prompt"),
    "prompt.huge-number": (b'{"prompt": 1e999}', "prompt"),
    "prompt.boolean": (b'{"prompt": true}', "prompt"),
    "prompt.array": (b'{"prompt": ["hello"]}', "prompt"),
    "prompt.object": (b'{"prompt": {"text": "hello"}}', "prompt"),
    "prompt.null-character": (b'{"prompt": "a\\u0000b"}', "prompt"),
    "prompt.surrogate": (b'{"prompt": "\\ud800"}', "prompt"),
    "budget.steps.fraction": (b'{"prompt": "hello", "budget": {"steps": 1.5}}', "budget.steps"),
    "budget.usd.huge": (b'{"prompt": "hello", "budget": {"usd": 1e999}}', "budget.usd"),
    "budget.usd.huge-negative": (b'{"prompt": "hello", "budget": {"usd": -1e999}}', "budget.usd"),
    "budget.steps.huge": (b'{"prompt": "hello", "budget": {"steps": 1e999}}', "budget.steps"),
    "budget.steps.zero": (b'{"prompt": "hello", "budget": {"steps": 0}}', "budget.steps"),
}

#: The same, but in the words of what stands behind the API.
PROMPTS: Mapping[str, tuple[bytes, str]] = {
    "prompt.empty": (b'{"prompt": ""}', "prompt"),
    "prompt.blank": (b'{"prompt": " \\n\\t\\u2003"}', "prompt"),
    "prompt.long": (b'{"prompt": "' + b"x" * (MAX_PROMPT + 1) + b'"}', "prompt"),
}

_DEEP = {"prompt": "a", "budget": {"usd": "1"}}

#: Bodies with one field that is wrong, by where they are posted to, and that field.
FIELDS: Mapping[str, tuple[str, dict[str, Any], str]] = {
    "mode.null": ("/runs", {"prompt": "a", "mode": None}, "mode"),
    "mode.surrogate": ("/runs", {"prompt": "a", "mode": "\ud800"}, "mode"),
    "budget.usd.string": ("/runs", _DEEP, "budget.usd"),
    "budget.usd.negative": ("/runs", {"prompt": "a", "budget": {"usd": -1}}, "budget.usd"),
    "retry.input.array": ("/runs/a/retry", {"input": []}, "input"),
    "retry.skip.string": ("/runs/a/retry", {"skip": "3"}, "skip"),
    "retry.skip.null": ("/runs/a/retry", {"skip": [None]}, "skip.0"),
    "approve.no-steps": ("/runs/a/approve", {"plan": {"steps": []}}, "plan.steps"),
    "reject.reason.long": ("/runs/a/reject", {"reason": "x" * 2001}, "reason"),
    "reject.reason.surrogate": ("/runs/a/reject", {"reason": "\ud800"}, "reason"),
    "search.limit.large": ("/runs/search", {"limit": 201}, "limit"),
    "search.limit.larger": ("/runs/search", {"limit": 10**7}, "limit"),
    "search.max_retries.large": ("/runs/search", {"max_retries": 10**13}, "max_retries"),
    "search.text.empty": ("/runs/search", {"text": ""}, "text"),
    "search.taken_up.number": ("/runs/search", {"taken_up": 1}, "taken_up"),
    "fork.checkpoint_id.form": ("/runs/a/fork", {"checkpoint_id": "A"}, "checkpoint_id"),
    "fork.checkpoint_id.long": ("/runs/a/fork", {"checkpoint_id": "a" * 65}, "checkpoint_id"),
}

_OTHERS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "search.status": ("/runs/search", {"status": ["done"]}),
    "search.text.no-word": ("/runs/search", {"text": " - "}),
    "search.created_from": ("/runs/search", {"created_from": "yesterday"}),
    "search.min_usd": ("/runs/search", {"min_usd": -1}),
    "search.max_retries.fraction": ("/runs/search", {"max_retries": 1.5}),
    "search.sort": ("/runs/search", {"sort": "size"}),
    "search.taken_up.word": ("/runs/search", {"taken_up": "maybe"}),
    "search.unknown-field": ("/runs/search", {"statuses": ["failed"]}),
    "search.too-many-faults": ("/runs/search", {"status": [1] * 101}),
    "cancel.unknown-field": ("/runs/a/cancel", {"force": True}),
    "retry.from_step.zero": ("/runs/a/retry", {"from_step": 0}),
    "retry.from_step.string": ("/runs/a/retry", {"from_step": "2"}),
    "retry.unknown-field": ("/runs/a/retry", {"steps": [2]}),
    "approve.unknown-field": ("/runs/a/approve", {"nothing": 1}),
}

#: Parameters that cannot be right: of which path, and of which run there.
_PARAMETERS: Mapping[str, str] = {
    "after": "/events?after=-1",
    "limit": "/events?limit=1001",
    "limit.empty": "/events?limit=",
    "timeout": "/wait?timeout=301",
    "max_value_bytes": "?max_value_bytes=99",
    "n": "/log/0/output",
    "parameter.unknown": "/events?Limit=5",
    "parameter.too-many": f"/events?{'&' * 100}",
    "parameter.none": "/explain?verbose=1",
}


async def messages() -> dict[str, str]:
    """What is said of the field that is at fault."""
    told = {}
    runs = FakeRuns()
    run_id = runs.store(queued())
    async with serving(runs) as client:

        async def post(path: str, body: bytes, **headers: str) -> str:
            return _message(await client.post(path, content=body, headers=JSON | headers))

        for key, (sent, _) in (BODIES | PROMPTS).items():
            told[key] = await post("/runs", sent)
        bodies = {key: (path, body) for key, (path, body, _) in FIELDS.items()} | dict(_OTHERS)
        for key, (path, body) in bodies.items():
            told[key] = await post(path, json.dumps(body).encode())
        for key, rest in _PARAMETERS.items():
            told[key] = _message(await client.get(f"/runs/{run_id}{rest}"))
        stream = f"/runs/{run_id}/stream"
        told["last-event-id"] = _message(await client.get(stream, headers={"last-event-id": "x"}))
        told["idempotency-key"] = await post(
            "/runs", b'{"prompt": "hello"}', **{"idempotency-key": "two words"}
        )
        cursor = await client.get("/runs?cursor=none")
        told["cursor"] = _message(cursor)
        told["several"] = (await client.get(f"/runs/{run_id}/events?limit=0&after=x")).json()[
            "detail"
        ]
    return told


def _message(answer: httpx.Response) -> str:
    assert answer.status_code == 400, answer.text
    [fault] = answer.json()["errors"]
    return str(fault["message"])
