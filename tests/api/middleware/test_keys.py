"""What the server says to whom: keys, strangers, other sites' pages, and every browser."""

import pytest

from api.app import HttpLimits
from graph.settings.configured import KeyRing, new_key
from tests.support.runs.fake_runs import FakeRuns
from tests.support.runs.still_runs import number_of
from tests.support.servers.api_calls import calls
from tests.support.servers.asgi_clients import serving

KEY, KEPT = new_key("alice")
WITH_KEYS = HttpLimits(keys=KeyRing([KEPT]))
ORIGIN = "https://desk.example"
WITH_ORIGIN = HttpLimits(cors_origins=(ORIGIN,))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": f"Bearer {KEY}"}, 200),
        ({"authorization": f"bearer  {KEY} "}, 200),
        ({"x-api-key": KEY}, 200),
        ({"authorization": "Basic YTpi", "x-api-key": KEY}, 200),
        ({}, 401),
        ({"authorization": KEY}, 401),
        ({"authorization": f"Bearer {KEY}x"}, 401),
        ({"authorization": "Bearer"}, 401),
        ({"x-api-key": str(KEPT)}, 401),
        ({"x-api-key": KEPT.digest.hex()}, 401),
        ({"x-api-key": "\xff"}, 401),
        ({"cookie": f"key={KEY}"}, 401),
    ],
)
async def test_a_call_needs_a_key_in_one_of_two_headers(headers, status, still):
    sent = {name: value.encode("latin-1") for name, value in headers.items()}
    async with serving(still, WITH_KEYS) as client:
        answer = await client.get("/runs", headers=sent)

    assert answer.status_code == status
    if status == 401:
        assert answer.json()["type"] == "urn:runwright:problem:key-refused"
        assert "Authorization: Bearer KEY" in answer.json()["detail"]
        assert answer.headers["www-authenticate"] == "Bearer"


OTHER, OTHERS = new_key("bob")


@pytest.mark.parametrize(
    ("headers", "counts"),
    [
        ([("authorization", f"Bearer {KEY}"), ("x-api-key", OTHER)], "alice"),
        ([("x-api-key", OTHER), ("authorization", f"Bearer {KEY}")], "alice"),
        ([("authorization", "Bearer wrong"), ("x-api-key", KEY)], None),
        ([("authorization", "Bearer"), ("x-api-key", KEY)], None),
        ([("authorization", f"Bearer {KEY}"), ("authorization", f"Bearer {OTHER}")], "alice"),
        ([("authorization", "Bearer wrong"), ("authorization", f"Bearer {KEY}")], None),
        ([("x-api-key", OTHER), ("x-api-key", KEY)], "bob"),
    ],
)
async def test_of_two_keys_in_one_request_one_counts(headers, counts, still):
    for owner in ("alice", "bob"):
        await still.start(f"a task of {owner}", owner=owner)
    async with serving(still, HttpLimits(keys=KeyRing([KEPT, OTHERS]))) as client:
        answer = await client.get("/runs", headers=headers)

    assert answer.status_code == (200 if counts else 401)
    listed = {run["prompt"] for run in answer.json()["runs"]} if counts else set()
    shown = {owner for owner in ("alice", "bob") if f"a task of {owner}" in listed}
    assert shown == ({counts} if counts else set())


async def test_the_description_says_which_of_two_keys_counts(still):
    async with serving(still, WITH_KEYS) as client:
        document = (await client.get("/openapi.json")).json()

    told = document["components"]["securitySchemes"]
    assert "this one counts" in told["bearer"]["description"]
    assert "the first" in told["bearer"]["description"]
    assert "only where there is no `Authorization: Bearer`" in told["header"]["description"]


async def test_nothing_is_answered_to_strangers_but_the_health_and_the_documentation(still):
    """Also not whether a path exists, nor what is wrong with a body."""
    async with serving(still, WITH_KEYS) as client:
        document = (await client.get("/openapi.json")).json()
        client.headers["content-type"] = "application/json"
        answers = {
            f"{method} {path}": (await client.request(method, path, content=b"{")).status_code
            for method, path, _ in calls(document)
        }
        others = [(await client.get(path)).status_code for path in ("/nothing", "/runs/", "/docsx")]
        docs = [(await client.get(f"/docs{path}")).status_code for path in ("", "/assets/x", "/..")]
        page = [(await client.get(path)).status_code for path in ("/", "/console/main.js")]

    assert {call for call, status in answers.items() if status != 401} == {
        "GET /health",
        "GET /health/live",
        "GET /health/ready",
    }
    assert others == [401, 401, 401]
    assert docs == [200, 404, 200]  # a client resolves the dots itself
    assert page == [200, 200]  # which has no data


async def test_strangers_learn_of_the_health_only_how_it_is():
    runs = FakeRuns()  # whose storage fails when it is told to
    async with serving(runs, WITH_KEYS) as client:
        told = (await client.get("/health")).json()
        wrong = (await client.get("/health", headers={"x-api-key": "wrong"})).json()
        known = (await client.get("/health", headers={"x-api-key": KEY})).json()
        runs.writable = False
        degraded = (await client.get("/health")).json()

    assert told == wrong
    assert (told["status"], told["storage"], told["models"]) == ("ok", {"status": "ok"}, {})
    assert known["storage"] == {"backend": "memory", "writable": True}
    assert "some/model" in known["models"]
    assert (told["runs"], known["runs"]["in_flight"]) == ({}, 0)
    assert (degraded["status"], degraded["storage"]) == ("degraded", {"status": "degraded"})


async def test_the_description_says_how_keys_are_sent_and_asks_for_one_where_there_are_keys(still):
    async with serving(still, WITH_KEYS) as client:
        document = (await client.get("/openapi.json")).json()
    async with serving(still) as client:
        without = (await client.get("/openapi.json")).json()

    schemes = document["components"]["securitySchemes"]
    assert [{name: []} for name in schemes] == document["security"]
    assert document["paths"]["/health"]["get"]["security"] == []
    assert "security" not in document["paths"]["/runs"]["get"]
    assert "security" not in without
    assert without["components"]["securitySchemes"] == schemes  # as generated clients need them


async def test_the_record_names_who_cancelled_by_the_key(still):
    async with serving(still, WITH_KEYS) as client:
        client.headers["x-api-key"] = KEY
        run_id = (await client.post("/runs", json={"prompt": "x"})).json()["run_id"]
        answer = await client.post(f"/runs/{run_id}/cancel")
        record = (await client.get(f"/runs/{run_id}")).json()

    assert answer.status_code == 200
    assert [(mark["what"], mark["by"]) for mark in record["marks"]] == [("cancel", "alice")]


@pytest.mark.parametrize(
    "path", ["/runs", "/nothing", "/health", "/docs", "/docs/assets/swagger-ui.css", "/runs/x"]
)
async def test_every_answer_tells_browsers_to_guess_keep_and_embed_nothing(path, still):
    async with serving(still) as client:
        answers = [
            await client.get(path),
            await client.head(path),
            await client.get(path, headers={"host": "evil.example"}),
            await client.post(path, content=b"x"),
        ]

    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        kept = "no-cache" if "etag" in answer.headers else "no-store"
        assert answer.headers["cache-control"] == kept
        assert len(answer.headers.get_list("content-security-policy")) == 1


async def test_the_answer_to_a_fault_of_ours_has_the_headers_too():
    runs = FakeRuns()  # which fails as nothing else does
    runs.failure = RuntimeError("boom")
    async with serving(runs) as client:
        answer = await client.get("/runs")

    assert answer.status_code == 500
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_listed_origin_gets_its_preflight_answered_and_may_read_and_post(still):
    ask = {"origin": ORIGIN, "access-control-request-method": "POST"}
    page = {"origin": ORIGIN, "sec-fetch-site": "cross-site"}
    async with serving(still, WITH_ORIGIN) as client:
        preflight = await client.options("/runs", headers=ask)
        read = await client.get("/runs", headers=page)
        posted = await client.post("/runs", json={"prompt": "x"}, headers=page)
        missing = await client.get("/runs/x", headers=page)

    assert preflight.status_code == 200
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert "Authorization" in preflight.headers["access-control-allow-headers"]
    assert [read.status_code, posted.status_code, missing.status_code] == [200, 201, 404]
    for answer in (preflight, read, posted, missing):
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "access-control-allow-credentials" not in answer.headers
        assert answer.headers["vary"].startswith("Origin")


@pytest.mark.parametrize("origin", ["https://evil.example", f"{ORIGIN}.evil.example", "null", ""])
async def test_any_other_origin_gets_no_leave(origin, still):
    before = await number_of(still)
    ask = {"origin": origin, "access-control-request-method": "POST"}
    async with serving(still, WITH_ORIGIN) as client:
        preflight = await client.options("/runs", headers=ask)
        read = await client.get("/runs", headers={"origin": origin})
        posted = await client.post("/runs", json={"prompt": "x"}, headers={"origin": origin})

    assert [preflight.status_code, posted.status_code] == [400, 403]
    assert not [
        name
        for answer in (preflight, read, posted)
        for name in answer.headers
        if name == "access-control-allow-origin"
    ]
    assert await number_of(still) == before


async def test_a_preflight_comes_without_a_key_and_is_answered_all_the_same(still):
    limits = HttpLimits(keys=KeyRing([KEPT]), cors_origins=(ORIGIN,))
    ask = {"origin": ORIGIN, "access-control-request-method": "GET"}
    async with serving(still, limits) as client:
        preflight = await client.options("/runs", headers=ask)
        without = await client.get("/runs", headers={"origin": ORIGIN})

    assert [preflight.status_code, without.status_code] == [200, 401]
    assert without.headers["access-control-allow-origin"] == ORIGIN
