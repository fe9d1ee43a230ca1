"""The calls of the API on good input."""

from collections.abc import AsyncIterator
from datetime import datetime

import anyio
import httpx
import pytest

from api.app import HttpLimits, create_app
from api.routes.lists import RunList
from api.schemas import ToolList
from api.views import RunAnswer
from graph.compose import open_runs
from graph.service import Runs
from graph.settings import Settings
from tests.support.patience import patience
from tests.support.runs.fake_runs import accepted, eventful
from tests.support.servers.asgi_clients import serving
from tests.support.servers.documented import documented
from tests.support.wording.messages import wording

JSON = {"content-type": "application/json"}


@pytest.fixture
async def real(still: Runs) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application over real runs."""
    async with serving(still) as client:
        yield client


async def test_a_posted_prompt_is_accepted_exactly_as_it_was_sent(real, still):
    prompt = '  Add a todo: "Grüße, 東京 \N{WAVING HAND SIGN}"\n then list  '

    response = await real.post("/runs", json={"prompt": prompt})

    run_id = response.json()["run_id"]
    assert response.status_code == 201
    assert response.headers["location"] == f"/runs/{run_id}"
    assert response.json() == {"run_id": run_id, "status": "pending"}
    assert (await still.get(run_id, owner="default"))["prompt"] == prompt


async def test_the_location_of_a_new_run_leads_to_its_record(real):
    location = (await real.post("/runs", json={"prompt": "say hello"})).headers["location"]

    response = await real.get(location)

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json()["prompt"] == "say hello"


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
async def test_json_may_be_declared_with_parameters_and_in_any_case(real, content_type):
    response = await real.post(
        "/runs", content=b'{"prompt": "hello"}', headers={"content-type": content_type}
    )

    assert response.status_code == 201


@pytest.mark.parametrize("record", [accepted(), eventful()], ids=["accepted", "eventful"])
async def test_a_record_is_what_its_documentation_says(client, runs, record):
    """No field is missing, none is undocumented, and every value has the documented type."""
    runs.add(record)

    answer = await client.get(f"/runs/{record['run_id']}")

    read = documented(RunAnswer, answer.content)
    assert datetime.fromisoformat(read["created_at"]).timestamp() == record["created_at"]


@pytest.mark.parametrize(
    ("prompt", "status"),
    [("calculate 10 + 5, and then multiply it by 3", "completed"), ("sing a song", "failed")],
)
async def test_a_record_that_was_really_executed_is_what_its_documentation_says(prompt, status):
    settings = Settings(database_url="memory://")
    app = create_app(lambda: open_runs(settings), HttpLimits())
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://localhost"
        ) as client,
    ):
        location = (await client.post("/runs", json={"prompt": prompt})).headers["location"]
        answer = await settled(client, location)

    read = documented(RunAnswer, answer.content)
    assert read["status"] == status


async def test_every_time_of_a_record_is_in_utc_with_milliseconds(client, runs):
    run_id = runs.add(eventful())["run_id"]

    record = (await client.get(f"/runs/{run_id}")).json()

    assert record["created_at"] == "2023-11-14T22:13:20.250Z"
    assert record["started_at"] == "2023-11-14T22:13:20.750Z"
    assert record["completed_at"] == "2023-11-14T22:13:25.250Z"
    assert record["execution_log"][0]["started_at"] == "2023-11-14T22:13:21.250Z"
    assert record["execution_log"][0]["retry_at"] == "2023-11-14T22:13:22.250Z"
    assert record["marks"][0]["at"] == "2023-11-14T22:13:23.250Z"
    assert record["planning_log"][0]["started_at"] == "2023-11-14T22:13:20.750Z"
    assert record["current"]["not_before"] == "2023-11-14T22:13:24.250Z"


async def test_outputs_that_json_has_no_number_for_are_still_readable(client, runs):
    output = {"large": 2**70, "infinite": float("inf")}
    run_id = runs.add(accepted(result={"output": output, "summary": ""}))["run_id"]

    record = (await client.get(f"/runs/{run_id}")).json()

    assert record["result"]["output"] == {"large": 2**70, "infinite": "Infinity"}


async def test_the_newest_runs_come_first(real, still):
    for number in range(60):
        await still.start(f"task {number}")

    answer = await real.get("/runs")

    listed = documented(RunList, answer.content)["runs"]
    assert [run["prompt"] for run in listed] == [f"task {number}" for number in range(59, 9, -1)]


async def test_a_tool_tells_how_to_call_it_and_what_a_call_does(real):
    answer = await real.get("/tools")

    (view,) = ToolList.model_validate_json(answer.content).tools
    assert view.name == "notes.add"
    assert view.description == "Write a note down."
    assert list(view.input_schema["properties"]) == ["text"]
    assert view.effects
    assert view.idempotent
    assert (view.timeout, view.attempts, view.builtin) == (None, 4, False)


async def test_the_graph_is_mermaid_text(real):
    answer = await real.get("/graph")

    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert "\ngraph TD;\n" in answer.text
    assert "\tplan(plan)\n" in answer.text


async def test_health_tells_version_and_storage(client):
    health = (await client.get("/health")).json()

    assert health == {
        "status": "ok",
        "version": health["version"],
        "storage": {"backend": "memory", "writable": True},
        "servers": {},
        "runs": {
            "in_flight": 0,
            "executing": 0,
            "queued": 0,
            "backoff": 0,
            "max_in_flight": health["runs"]["max_in_flight"],
            "max_executing": health["runs"]["max_executing"],
            "ends_per_s": None,
        },
        "models": {
            "some/model": {
                "state": "open",
                "until": "2023-11-14T22:13:20.250Z",
                "error_class": "timeout",
            },
            "another/model": {"state": "ok", "until": None, "error_class": None},
        },
    }
    assert health["version"]


async def test_a_budget_is_accepted_with_the_run(real, still):
    """What is left out is not limited, and costs nothing when it is exceeded."""
    answer = await real.post("/runs", json={"prompt": "a task", "budget": {"usd": 0.01}})

    assert answer.status_code == 201
    record = await still.get(answer.json()["run_id"], owner="default")
    assert record["budget"] == {
        "usd": 0.01,
        "tokens": None,
        "seconds": None,
        "steps": None,
        "on_exceeded": "pattern",
    }


async def test_a_whole_number_may_be_written_with_a_fraction_of_zero(real, still):
    answer = await real.post(
        "/runs", content=b'{"prompt": "a task", "budget": {"steps": 3.0}}', headers=JSON
    )

    assert answer.status_code == 201
    record = await still.get(answer.json()["run_id"], owner="default")
    assert record["budget"]["steps"] == 3


async def test_health_is_degraded_while_storage_cannot_be_written(client, runs):
    runs.writable = False

    answer = await client.get("/health")

    assert answer.status_code == 200
    assert answer.json()["status"] == "degraded"


async def test_a_stopping_server_is_alive_but_not_ready(client, runs):
    assert (await client.get("/health/ready")).status_code == 200

    runs.ready = False

    assert (await client.get("/health/live")).status_code == 200
    assert (await client.get("/health/ready")).status_code == 503
    assert (await client.get("/health")).json()["status"] == "degraded"


async def test_a_server_that_cannot_write_is_not_ready(client, runs):
    runs.writable = False

    answer = await client.get("/health/ready")

    assert answer.status_code == 503
    assert answer.json()["type"] == "urn:runwright:problem:not-ready"
    assert answer.json()["detail"] == wording("problems.not-ready.storage.detail")
    # The same to LangGraph's clients, where they ask for it.
    assert (await client.get("/lg/ok?check_db=1")).status_code == 503
    assert (await client.get("/lg/ok")).json() == {"ok": True}


@pytest.mark.parametrize("path", ["/runs", "/health", "/tools", "/graph", "/docs", "/openapi.json"])
async def test_head_answers_as_get_without_the_body(real, path):
    head, get = await real.head(path), await real.get(path)

    assert head.status_code == get.status_code == 200
    assert head.headers == get.headers
    assert head.content == b""


async def settled(client: httpx.AsyncClient, location: str) -> httpx.Response:
    with anyio.fail_after(patience()):
        while True:
            answer = await client.get(location)
            if answer.json()["completed_at"]:
                return answer
            await anyio.sleep(0.01)
