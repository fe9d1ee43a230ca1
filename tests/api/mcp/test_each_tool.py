"""Tools of ours that an MCP client calls by themselves: runs of one step, like any other."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from tests.support.own_tools.gate_tool import GATE
from tests.support.patience import until
from tests.support.servers.mcp_client import ERAS, connected, message, refused, started, told
from tests.support.servers.server_process import ServerProcess, serving

EACH = {"mcp_each_tool": "true"}

each_era = pytest.mark.parametrize("era", ERAS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that offers each tool, the gate too."""
    with serving(tmp_path_factory.mktemp("each"), tools=GATE, **EACH) as server:
        yield server


async def attempting(server: ServerProcess, text: str) -> str:
    """The id of the run that has this text in its prompt, once its first attempt is made."""

    def found() -> str:
        runs = [one for one in server.client.get("/runs").json()["runs"] if text in one["prompt"]]
        made = runs and server.get(runs[0]["run_id"])["current"]
        return str(runs[0]["run_id"]) if made else ""

    return await until(found)


async def listed(client: Client) -> dict[str, Any]:
    return {tool.name: tool for tool in (await client.list_tools()).tools}


@each_era
async def test_each_tool_is_offered_with_its_schema_and_what_is_true_of_it(
    server: ServerProcess, era: str
) -> None:
    ours = {one["name"]: one for one in server.client.get("/tools").json()["tools"]}
    async with connected(server.url, era) as client:
        tools = await listed(client)

    assert {*ours, "run", "plan"} <= {*tools}
    for name, one in ours.items():
        assert tools[name].input_schema == one["input_schema"]
        assert str(tools[name].description).startswith(one["description"])
        hints = tools[name].annotations
        assert hints is not None
        assert hints.read_only_hint is not one["effects"]
        assert not hints.idempotent_hint  # another call is another step


@each_era
async def test_a_call_is_a_run_of_one_step_that_nobody_planned(
    server: ServerProcess, era: str
) -> None:
    async with connected(server.url, era) as client:
        report = told(await client.call_tool("calculator", {"expression": "6 * 7"}))

    assert (report["status"], report["result"]["output"]) == ("completed", 42)
    record = server.get(report["run_id"])
    [step], [made] = record["plan"]["steps"], record["plan"]["rounds"]
    assert (step["tool"], step["input"]) == ("calculator", {"expression": "6 * 7"})
    assert record["planned_by"] == made["planned_by"]
    assert record["planned_by"]["source"] == "caller"
    assert record["planning_log"] == []
    assert record["prompt"] == 'calculator {"expression": "6 * 7"}'
    told_of = server.client.get(f"/runs/{report['run_id']}/stream").text.splitlines()
    assert [line.removeprefix("event: ") for line in told_of if line.startswith("event: ")] == [
        *("run.queued", "run.started", "plan.started", "plan.made", "step.started"),
        *("step.completed", "run.completed", "end"),
    ]
    found = server.client.get("/runs", params={"planner": "caller"}).json()["runs"]
    assert report["run_id"] in [one["run_id"] for one in found]
    why = server.client.get(f"/runs/{report['run_id']}/explain").json()
    assert "The plan is the call of a tool; nothing was retried" in why["sentences"][-1]


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("calculator", {}, "expression"),
        ("calculator", {"expression": 1, "more": 2}, "more"),
    ],
)
async def test_arguments_that_no_plan_may_have_are_refused(
    server: ServerProcess, name: str, given: dict[str, Any], says: str
) -> None:
    before = len(server.client.get("/runs").json()["runs"])
    async with connected(server.url) as client:
        assert says in refused(await client.call_tool(name, given))

    assert len(server.client.get("/runs").json()["runs"]) == before


async def test_who_gives_up_the_call_of_a_tool_cancels_its_run(server: ServerProcess) -> None:
    async with connected(server.url) as client:
        calling = asyncio.create_task(client.call_tool("gate", {"name": "left"}))
        run_id = await attempting(server, "left")
        calling.cancel()
        await asyncio.wait([calling])
        await until(lambda: server.get(run_id)["status"] == "cancelled")


async def test_a_called_run_is_forked_and_planned_anew(server: ServerProcess) -> None:
    async with connected(server.url) as client:
        report = told(await client.call_tool("calculator", {"expression": "1 / 0"}))
    assert report["status"] == "failed"
    [first, *_] = server.client.get(f"/runs/{report['run_id']}/history").json()["checkpoints"][::-1]
    body = {"checkpoint_id": first["checkpoint_id"], "state": {"prompt": "calculate 2 + 2"}}
    fork = server.client.post(f"/runs/{report['run_id']}/fork", json=body).json()

    forked = server.settled(fork["run_id"])
    assert (forked["result"]["output"], forked["planned_by"]["source"]) == (4, "pattern")


async def test_a_call_that_is_to_be_approved_waits_and_is_made_then(tmp_path: Path) -> None:
    with serving(tmp_path, approve="effects", **EACH) as server:
        async with connected(server.url) as client:
            read = told(await client.call_tool("calculator", {"expression": "6 * 7"}))
            given = {"text": "buy milk"}
            asked = told(await client.call_tool("todo_store.add", given))
            named = {"run_id": asked["run_id"]}
            approved = await client.call_tool("approve_run", {**named, "decision": "approve"})
            ended = told(await client.call_tool("get_run", {**named, "wait": 60}))

    assert read["status"] == "completed"
    assert (asked["status"], asked["waits_for"]["about"]) == ("waiting", "plan")
    assert [one["input"] for one in asked["waits_for"]["steps"]] == [given]
    assert told(approved)["run_id"] == ended["run_id"]
    assert (ended["status"], ended["result"]["output"]["text"]) == ("completed", "buy milk")


async def test_a_call_goes_on_after_a_kill(tmp_path: Path) -> None:
    headers, body = message("auto", "tools/call", name="gate", arguments={"name": "killed"})
    with serving(tmp_path, tools=GATE, **EACH) as server:
        async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as client:
            calling = asyncio.create_task(client.post("/mcp", json=body, headers=headers))
            run_id = await attempting(server, "killed")
            server.kill()
            with pytest.raises(httpx.HTTPError):
                await calling
    with serving(tmp_path, tools=GATE, **EACH) as server:
        server.open_gate("killed")
        record = server.settled(run_id)

    assert (record["status"], record["result"]["output"]) == ("completed", "killed")
    assert record["planned_by"]["source"] == "caller"


async def test_without_the_setting_no_tool_is_offered_by_itself(tmp_path: Path) -> None:
    async with started(tmp_path) as client:
        assert "calculator" not in await listed(client)
        with pytest.raises(MCPError, match="There is no tool 'calculator'"):
            await client.call_tool("calculator", {"expression": "1"})


async def test_a_client_that_starts_the_command_may_call_each_tool(tmp_path: Path) -> None:
    async with started(tmp_path, **EACH) as client:
        assert "calculator" in await listed(client)
        report = told(await client.call_tool("calculator", {"expression": "6 * 7"}))

    assert report["result"]["output"] == 42
