"""Who reads the metrics, and which requests they count."""

import httpx
import pytest

from api.app import HttpLimits, create_app
from graph.compose import open_runs
from graph.settings import Settings
from graph.settings.configured import KeyRing, new_key

KEY, ALICE = new_key("alice")
OTHER, BOB = new_key("bob")
KEYS = KeyRing([ALICE, BOB])


def asking(settings, limits=None, client=("127.0.0.1", 1)):
    """An application over real runs, and who asks it from the address `client`."""
    app = create_app(lambda: open_runs(settings), limits or HttpLimits())
    transport = httpx.ASGITransport(app, client=client)
    return app, httpx.AsyncClient(transport=transport, base_url="http://localhost")


@pytest.fixture
def settings(tmp_path):
    return Settings(database_url=f"sqlite:///{tmp_path}/runs.db")


@pytest.mark.parametrize(
    ("readers", "client", "headers", "status"),
    [
        ("local", "127.0.0.1", {}, 200),
        ("local", "127.8.8.8", {}, 200),
        ("local", "::1", {}, 200),
        ("local", "10.0.0.1", {}, 401),
        ("local", "10.0.0.1", {"x-api-key": KEY}, 403),
        ("local", "127.0.0.1", {"x-forwarded-for": "127.0.0.1"}, 401),
        ("local", "127.0.0.1", {"Forwarded": "for=1.2.3.4"}, 401),
        ("local", "somewhere", {}, 401),
        ("open", "10.0.0.1", {}, 200),
        ("open", "10.0.0.1", {"x-api-key": KEY}, 200),
        ("off", "127.0.0.1", {"x-api-key": KEY}, 404),
        ("key:alice", "10.0.0.1", {"x-api-key": KEY}, 200),
        ("key:alice", "10.0.0.1", {"x-api-key": OTHER}, 403),
        ("key:alice", "127.0.0.1", {}, 401),
        ("key:ali", "10.0.0.1", {"x-api-key": KEY}, 403),
    ],
)
async def test_where_there_are_keys_they_are_for_whom_the_setting_names(
    settings, readers, client, headers, status
):
    limits = HttpLimits(keys=KEYS, metrics=readers)
    app, asked = asking(settings, limits, (client, 1))
    async with app.router.lifespan_context(app), asked:
        answer = await asked.get("/metrics", headers=headers)

    assert answer.status_code == status
    assert ("runwright_slots" in answer.text) == (status == 200)
    if status == 403:
        assert answer.json()["type"] == "urn:runwright:problem:metrics-refused"


async def test_without_keys_they_are_open_but_where_nobody_reads_them(settings):
    for readers, status in (("local", 200), ("off", 404)):
        app, asked = asking(settings, HttpLimits(metrics=readers), ("10.0.0.1", 1))
        async with app.router.lifespan_context(app), asked:
            assert (await asked.get("/metrics")).status_code == status


async def test_requests_are_counted_by_the_route_that_answered_them(settings):
    app, asked = asking(settings, HttpLimits(keys=KEYS))
    key = {"x-api-key": KEY}
    async with app.router.lifespan_context(app), asked:
        await asked.get("/runs/nothing", headers=key)
        await asked.get("/runs/nothing/other", headers=key)
        await asked.get("/no/such/path/1", headers=key)
        await asked.get("/no/such/path/2")
        await asked.request("BREW", "/runs", headers=key)
        await asked.head("/health/live")
        await asked.get("/runs", headers={"host": "evil.example"})
        text = (await asked.get("/metrics")).text

    told = {line for line in text.splitlines() if line.startswith("runwright_http_requests_total")}
    assert told == {
        counted('"GET"', "/runs/{run_id}", 404),
        counted('"GET"', "other", 404, 2.0),
        counted('"GET"', "other", 401),
        counted('"other"', "/runs", 405),
        counted('"GET"', "/health/live", 200),
        counted('"GET"', "other", 403),
    }


def counted(method: str, route: str, status: int, times: float = 1.0) -> str:
    labels = f'method={method},route="{route}",status="{status}"'
    return f"runwright_http_requests_total{{{labels}}} {times}"


async def test_no_label_names_a_run_an_owner_or_a_prompt(settings):
    app, asked = asking(settings, HttpLimits(keys=KEYS))
    async with app.router.lifespan_context(app), asked:
        answer = await asked.post(
            "/runs/wait", json={"prompt": "what is 61 times 7"}, headers={"x-api-key": KEY}
        )
        text = (await asked.get("/metrics")).text

    run_id = answer.json()["run_id"]
    assert 'runwright_runs_settled_total{error="",status="completed"} 1.0' in text
    assert not [secret for secret in (run_id, "alice", "61", "427") if f'"{secret}' in text]
