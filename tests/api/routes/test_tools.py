"""Tools over HTTP: a call of one by itself, and what the server finds out about itself."""

from pathlib import Path

from tests.support.own_tools.shop_tool import SHOP
from tests.support.servers.server_process import ServerProcess, serving

SECRETS = ("runs.db", "shop_tool", "hush")


def call(server: ServerProcess, name: str, **given: object) -> dict[str, object]:
    """Call a tool and wait for its end; the record."""
    answer = server.client.post(f"/tools/{name}/call", json={"input": given})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/runs/{answer.json()['run_id']}"
    return server.settled(answer.json()["run_id"])


def test_a_tool_is_called_by_itself_as_a_recorded_run(tmp_path: Path) -> None:
    with serving(tmp_path, tools=SHOP, backoff="0.01") as server:
        sum_, bread = (
            call(server, "calculator", expression="6 * 7"),
            call(server, "shop.order", item="bread"),
        )
        braces = call(server, "shop.say", words="{step_1_output}")
        unknown = server.client.post("/tools/nothing/call", json={})
        unfit = server.client.post("/tools/calculator/call", json={"input": {"sum": 1}})

    assert sum_["result"]["output"] == 42
    assert sum_["planned_by"]["source"] == "caller"
    assert sum_["prompt"] == 'calculator {"expression": "6 * 7"}'
    assert [entry["status"] for entry in bread["execution_log"]] == ["error", "error", "ok"]
    assert "{step_1_output}" in braces["result"]["output"]
    assert (unknown.status_code, unfit.status_code) == (400, 400)
    assert unknown.json()["type"] == unfit.json()["type"]
    assert unfit.json()["errors"][0]["field"] == "input"


def test_a_call_that_changes_something_is_asked_about_where_plans_are(tmp_path: Path) -> None:
    with serving(tmp_path, tools=SHOP, approve="effects") as server:
        answer = server.client.post("/tools/shop.order/call", json={"input": {"item": "tea"}})
        asked = server.until(answer.json()["run_id"], lambda one: one["status"] == "waiting")
        call(server, "calculator", expression="1 + 1")

    assert asked["execution_log"] == []


def test_the_server_tells_what_doctor_would_and_its_settings_but_no_texts(tmp_path: Path) -> None:
    with serving(
        tmp_path, tools=SHOP, retention="7", approve="effects", instructions="hush"
    ) as server:
        told = server.client.get("/doctor")

    found = told.json()
    settings = {one["name"]: one for one in found["settings"]}
    assert found["ok"]
    assert {one["check"] for one in found["checks"]} == {"tools", "database", "models"}
    assert settings["RUNWRIGHT_RETENTION"] | {"description": ""} == {
        "name": "RUNWRIGHT_RETENTION",
        "description": "",
        "given": True,
        "value": 7,
    }
    assert settings["RUNWRIGHT_APPROVE"]["value"] == "effects"
    assert settings["RUNWRIGHT_MAX_ATTEMPTS"]["given"] is False
    assert settings["RUNWRIGHT_INSTRUCTIONS"]["given"]
    assert not [secret for secret in SECRETS if secret in told.text]
