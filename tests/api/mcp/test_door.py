"""`/mcp` of a real server, asked by the SDK's own client in both eras of the protocol."""

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from mcp.shared.exceptions import MCPError

from api.app import HttpLimits
from api.mcp import door
from graph.service import Runs
from graph.settings.configured import new_key
from tests.support.examples import slow
from tests.support.own_tools.gate_tool import GATE
from tests.support.patience import until
from tests.support.runs.still_runs import watched
from tests.support.servers.asgi_clients import serving as serving_app
from tests.support.servers.mcp_client import ERAS, connected, message, refused, told
from tests.support.servers.server_process import ServerProcess, serving
from tests.support.wording.messages import wording

KEY, KEPT = new_key("alice")
OTHER, OTHERS = new_key("bob")

each_era = pytest.mark.parametrize("era", ERAS)

#: For what does not lie in how a session begins.
an_era = pytest.mark.parametrize("era", [ERAS[0], *slow(ERAS[1])])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of two owners, with a tool that waits for the test."""
    keys = f"{KEPT},{OTHERS}"
    with serving(tmp_path_factory.mktemp("runs"), api_keys=keys, tools=GATE) as server:
        server.client.headers["x-api-key"] = KEY
        yield server


def newest(server: ServerProcess, prompt: str) -> dict[str, Any]:
    """The newest run of this prompt; nothing where there is none."""
    runs = [one for one in server.client.get("/runs").json()["runs"] if one["prompt"] == prompt]
    return dict(runs[0]) if runs else {}


async def begun(server: ServerProcess, prompt: str) -> str:
    """The id of the run of this prompt, once its first attempt is made."""

    def attempting() -> str:
        run = newest(server, prompt)
        current = run and server.get(run["run_id"])["current"]
        return str(run["run_id"]) if current else ""

    return await until(attempting)


@each_era
async def test_a_run_tells_how_far_it_is_and_where_its_record_is(
    server: ServerProcess, era: str
) -> None:
    steps: list[tuple[float, float | None, str | None]] = []

    async def note(done: float, of: float | None, words: str | None) -> None:
        steps.append((done, of, words))

    task = {"prompt": "calculate 10 + 5, and then multiply it by 3"}
    async with connected(server.url, era, key=KEY) as client:
        result = await client.call_tool("run", task, progress_callback=note)
        report = told(result)
        read = await client.read_resource(report["uri"])

    assert (report["status"], report["result"]["output"]) == ("completed", 45)
    assert json.loads(result.content[0].text) == report  # type: ignore[union-attr]
    assert [(done, of) for done, of, _ in steps] == [(0, 2), (1, 2), (2, 2)]
    assert steps[-1][2] == "step 2 is done: calculator"
    record = server.client.get(report["url"]).json()
    assert json.loads(read.contents[0].text)["plan"] == record["plan"]  # type: ignore[union-attr]
    assert record["owner"] == "alice"


@an_era
async def test_a_call_that_is_given_up_cancels_its_run(server: ServerProcess, era: str) -> None:
    prompt = f"pass gate cancelled-{era}"
    async with connected(server.url, era, key=KEY) as client:
        calling = asyncio.create_task(client.call_tool("run", {"prompt": prompt}))
        run_id = await begun(server, prompt)
        calling.cancel()
        await asyncio.wait([calling])
        await until(lambda: server.get(run_id)["status"] == "cancelled")
        assert told(await client.call_tool("get_run", {"run_id": run_id}))["status"] == "cancelled"

    assert [mark["by"] for mark in server.get(run_id)["marks"] if mark["what"] == "cancel"] == [
        "alice"
    ]


async def test_who_gives_up_a_call_leaves_those_of_other_sessions_alone(
    server: ServerProcess,
) -> None:
    """Both number their requests alike."""
    first, second = "pass gate session-one", "pass gate session-two"
    async with (
        connected(server.url, "legacy", key=KEY) as one,
        connected(server.url, "legacy", key=KEY) as two,
    ):
        leaving = asyncio.create_task(one.call_tool("run", {"prompt": first}))
        staying = asyncio.create_task(two.call_tool("run", {"prompt": second}))
        gone = await begun(server, first)
        await begun(server, second)
        leaving.cancel()
        await asyncio.wait([leaving])
        await until(lambda: server.get(gone)["status"] == "cancelled")
        server.open_gate("session-two")
        assert told(await staying)["status"] == "completed"


@pytest.mark.parametrize(("era", "ends"), [("auto", "cancelled"), ("legacy", "completed")])
async def test_a_client_that_is_gone_cancels_only_where_the_protocol_says_so(
    server: ServerProcess, era: str, ends: str
) -> None:
    """From 2026 on closing the stream gives a call up; before, a lost connection means nothing."""
    prompt = f"pass gate gone-{era}"
    headers, body = message(era, "tools/call", name="run", arguments={"prompt": prompt})
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        calling = asyncio.create_task(
            client.post("/mcp", json=body, headers={**headers, "x-api-key": KEY}, timeout=None)
        )
        run_id = await begun(server, prompt)
        calling.cancel()
        await asyncio.wait([calling])
    if ends == "completed":
        server.open_gate(f"gone-{era}")
    assert (await until(lambda: settled(server, run_id)))["status"] == ends


def settled(server: ServerProcess, run_id: str) -> dict[str, Any]:
    record = server.get(run_id)
    return record if record["completed_at"] else {}


@an_era
async def test_a_plan_waits_for_a_person_and_goes_on_with_the_decision(
    server: ServerProcess, era: str
) -> None:
    task = {"prompt": "calculate 6 * 7", "mode": "plan"}
    async with connected(server.url, era, key=KEY) as client:
        report = told(await client.call_tool("run", task))
        named = {"run_id": report["run_id"]}
        approved = await client.call_tool("approve_run", {**named, "decision": "approve"})
        ended = told(await client.call_tool("get_run", {**named, "wait": 60}))
        again = await client.call_tool("approve_run", {**named, "decision": "approve"})

    asked = report["waits_for"]
    assert (report["status"], asked["about"]) == ("waiting", "plan")
    assert [(one["tool"], one["input"]) for one in asked["steps"]] == [
        ("calculator", {"expression": "6 * 7"})
    ]
    assert told(approved)["status"] in ("waiting", "running", "completed")
    assert (ended["status"], ended["result"]["output"]) == ("completed", 42)
    assert refused(again) == wording(
        "problems.not-waiting.detail", run_id=named["run_id"], status="completed"
    )


async def test_a_plan_is_rejected_with_a_reason(server: ServerProcess) -> None:
    async with connected(server.url, key=KEY) as client:
        task = {"prompt": "calculate 6 * 7", "mode": "plan"}
        named = {"run_id": told(await client.call_tool("run", task))["run_id"]}
        answer = {**named, "decision": "reject", "reason": "too dear"}
        mixed = await client.call_tool("approve_run", {**answer, "decision": "approve"})
        report = told(await client.call_tool("approve_run", answer))

    assert "reason" in refused(mixed)
    assert (report["status"], report["error"]["type"]) == ("cancelled", "rejected")
    assert "too dear" in report["error"]["message"]


async def test_a_run_is_started_read_and_cancelled(server: ServerProcess) -> None:
    prompt = "pass gate started"
    async with connected(server.url, key=KEY) as client:
        started = told(await client.call_tool("start_run", {"prompt": prompt}))
        named = {"run_id": started["run_id"]}
        await begun(server, prompt)
        read = told(await client.call_tool("get_run", named))
        cancelled = told(await client.call_tool("cancel_run", named))
        ended = await client.call_tool("run", {"prompt": "calculate 1 + 1"})
        too_late = await client.call_tool("cancel_run", {"run_id": told(ended)["run_id"]})

    assert (started["status"], read["status"], cancelled["status"]) == (
        "pending",
        "running",
        "cancelled",
    )
    assert [one["tool"] for one in cancelled["not_done"]] == ["gate"]
    assert "completed" in refused(too_late)


async def test_a_preview_makes_no_run(server: ServerProcess) -> None:
    prompt = "calculate 8 * 9, previewed"
    async with connected(server.url, key=KEY) as client:
        plan = told(await client.call_tool("plan", {"prompt": "calculate 8 * 9"}))
        unfit = told(await client.call_tool("plan", {"prompt": prompt}))

    assert [step["tool"] for step in plan["steps"]] == ["calculator"]
    assert (unfit["steps"], unfit["error"]["type"]) == ([], "not_understood")
    assert not newest(server, prompt)


@an_era
async def test_nobody_finds_the_runs_of_another(server: ServerProcess, era: str) -> None:
    async with connected(server.url, era, key=KEY) as client:
        report = told(await client.call_tool("run", {"prompt": "calculate 2 + 2"}))
    named = {"run_id": report["run_id"]}
    async with connected(server.url, era, key=OTHER) as client:
        for tool, more in (
            ("get_run", {}),
            ("get_run", {"wait": 1}),
            ("cancel_run", {}),
            ("approve_run", {"decision": "approve"}),
        ):
            assert "No run has the id" in refused(await client.call_tool(tool, {**named, **more}))
        with pytest.raises(MCPError, match="No run has the id"):
            await client.read_resource(report["uri"])
        listed = [str(one.uri) for one in (await client.list_resources()).resources]

    assert report["uri"] not in listed


async def test_the_newest_runs_are_listed(server: ServerProcess) -> None:
    async with connected(server.url, key=KEY) as client:
        report = told(await client.call_tool("run", {"prompt": "calculate 2 + 3"}))
        first, *_ = (await client.list_resources()).resources
        [template] = (await client.list_resource_templates()).resource_templates

    assert (str(first.uri), first.title) == (report["uri"], "calculate 2 + 3")
    assert template.uri_template == "run://{id}"


@pytest.mark.parametrize("uri", ["run://", "run://none", "file:///etc/passwd", "RUN://none"])
async def test_what_is_no_run_is_no_resource(server: ServerProcess, uri: str) -> None:
    async with connected(server.url, key=KEY) as client:
        with pytest.raises(MCPError, match="No run has the id"):
            await client.read_resource(uri)


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("run", {"prompt": " "}, "the prompt is empty"),
        ("run", {}, "prompt: Field required"),
        ("run", {"prompt": 1}, "prompt: "),
        ("run", {"prompt": "x", "promt": 1}, "has the unknown field 'promt'"),
        ("run", {"prompt": "none \0"}, "the null character"),
        ("run", {"prompt": "x", "model": "none"}, "model: "),
        ("start_run", {"prompt": "x" * 20_001}, "20001 characters"),
        ("plan", {"prompt": "x", "mode": "plan"}, "has the unknown field 'mode'"),
        ("get_run", {"run_id": "x", "wait": 1e9}, "wait: "),
        ("approve_run", {"run_id": "x", "decision": "yes"}, "decision: "),
    ],
)
async def test_what_is_wrong_is_told_in_the_words_of_http(
    server: ServerProcess, tool: str, arguments: dict[str, Any], says: str
) -> None:
    headers, body = message("legacy", "tools/call", name=tool, arguments=arguments)
    answer = await posted(server, body, **headers)
    [event] = [line for line in answer.text.splitlines() if line.startswith("data: ")]
    result = json.loads(event.removeprefix("data: "))["result"]

    assert result["isError"] is True
    assert says in result["content"][0]["text"]
    assert result["structuredContent"]["status"] == 400


async def test_an_unknown_tool_is_named(server: ServerProcess) -> None:
    async with connected(server.url, key=KEY) as client:
        with pytest.raises(MCPError, match=r"no tool 'runn'; there are run, "):
            await client.call_tool("runn", {})


async def posted(
    server: ServerProcess, content: object, *, key: str | None = KEY, **headers: str
) -> httpx.Response:
    """The answer to a body, given as text, bytes or JSON data."""
    sent = content if isinstance(content, str | bytes) else json.dumps(content)
    headers = {"accept": "application/json, text/event-stream", **headers}
    headers = {"content-type": "application/json", **headers, **({"x-api-key": key} if key else {})}
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        return await client.post("/mcp", content=sent, headers=headers)


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({"key": None}, 401, "key-refused"),
        ({"key": "rw_wrong"}, 401, "key-refused"),
        ({"host": "evil.example"}, 403, "host-refused"),
        ({"origin": "https://evil.example"}, 403, "origin-refused"),
        ({"content-type": "text/plain"}, 415, "not-json"),
    ],
)
async def test_strangers_and_foreign_pages_are_kept_out(
    server: ServerProcess, headers: dict[str, Any], status: int, kind: str
) -> None:
    answer = await posted(server, message("legacy", "tools/list")[1], **headers)

    assert answer.status_code == status
    assert answer.json()["type"] == f"urn:runwright:problem:{kind}"


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
async def test_only_posts_are_answered(server: ServerProcess, method: str) -> None:
    """There is no stream of its own, and no session to be ended."""
    headers = {"x-api-key": KEY, "accept": "text/event-stream"}
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        answer = await client.request(method, "/mcp", headers=headers)

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@an_era
@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("{", -32700),
        (b"\xff", -32700),
        ("[" * 60_000, -32700),
        ('{"jsonrpc": "2.0", "id": 1, "method": "tools/list", "method": "ping"}', -32700),
        ('{"jsonrpc": "2.0", "id": NaN, "method": "tools/list"}', -32700),
        ('{"jsonrpc": "2.0", "id": 1, "method": "half \\ud83d"}', None),
        ("null", None),
        ("[]", None),
        ({"jsonrpc": "1.0", "id": 1, "method": "tools/list"}, None),
        ([message("legacy", "tools/list")[1]] * 2, None),
    ],
)
async def test_what_is_no_message_is_refused(
    server: ServerProcess, era: str, content: object, code: int | None
) -> None:
    headers, _ = message(era, "tools/list")
    answer = await posted(server, content, **headers)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == (code or answer.json()["error"]["code"])
    assert "Traceback" not in answer.text


async def test_a_body_that_is_too_large_is_refused_as_everywhere(server: ServerProcess) -> None:
    task = {"prompt": "x" * 5_000_000}
    _, body = message("legacy", "tools/call", name="run", arguments=task)
    try:
        answer = await posted(server, body)
    except httpx.TransportError:  # it was refused before it was sent, and the connection closed
        return
    assert answer.status_code == 413


async def test_what_is_said_of_the_tools_is_true_and_has_its_form(server: ServerProcess) -> None:
    async with connected(server.url, key=KEY) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}

    hints: dict[str, Any] = {}
    for name, tool in tools.items():
        Draft202012Validator.check_schema(tool.input_schema)
        Draft202012Validator.check_schema(tool.output_schema or {})
        hints[name] = tool.annotations and tool.annotations.model_dump(exclude_none=True)
    asks = {
        "read_only_hint": False,
        "destructive_hint": True,
        "idempotent_hint": False,
        "open_world_hint": True,
    }
    assert hints == {
        "run": asks,
        "start_run": asks,
        "get_run": {"read_only_hint": True, "open_world_hint": False},
        "cancel_run": {**asks, "idempotent_hint": True, "open_world_hint": False},
        "approve_run": asks,
        "plan": {"read_only_hint": True, "open_world_hint": True},
    }


@an_era
async def test_the_list_of_tools_is_small(server: ServerProcess, era: str) -> None:
    """Anybody may ask for it as often as he likes, and it is encoded each time."""
    _, body = message(era, "tools/list")
    answer = await posted(server, body)
    assert answer.status_code == 200
    assert len(answer.content) < 40_000


@an_era
async def test_a_restart_of_the_server_strands_nobody(tmp_path: Path, era: str) -> None:
    with serving(tmp_path) as first:
        port = first.url.rpartition(":")[2]
        async with connected(first.url, era) as client:
            report = told(await client.call_tool("run", {"prompt": "calculate 1 + 1"}))
            assert first.terminate() == 0
            with serving(tmp_path, port=port):
                read = await client.call_tool("get_run", {"run_id": report["run_id"]})
                assert told(read)["result"]["output"] == 2


@an_era
async def test_the_end_of_the_server_ends_a_call_and_not_its_run(tmp_path: Path, era: str) -> None:
    prompt = "pass gate end"
    with serving(tmp_path, tools=GATE, grace="6") as server:
        async with connected(server.url, era) as client:
            await client.list_tools()  # or it would ask for the form of the answer afterwards
            calling = asyncio.create_task(client.call_tool("run", {"prompt": prompt}))
            run_id = await begun(server, prompt)
            assert await asyncio.to_thread(server.terminate) == 0
            report = told(await calling)

    assert report["message"] == wording("mcp.run.stopping")
    with serving(tmp_path, tools=GATE) as server:
        server.open_gate("end")
        assert server.settled(run_id)["status"] == "completed"


class Ending:
    """What uvicorn is from a signal on."""

    should_exit = True

    def handle_exit(self, number: int, frame: object) -> None:
        """Called with a signal."""


async def test_the_end_of_the_server_leaves_a_call_the_time_to_be_answered(
    monkeypatch: pytest.MonkeyPatch, still: Runs
) -> None:
    """What the SDK streams with ends every stream half a second after a signal, answered or not."""
    monkeypatch.setattr(signal, "getsignal", lambda _: Ending().handle_exit)
    record = await still.start("calculate 1 + 1")
    async with serving_app(still) as client:
        headers, body = message(
            "legacy",
            "tools/call",
            name="get_run",
            arguments={"run_id": record["run_id"], "wait": 60},
        )
        asking = asyncio.create_task(client.post("/mcp", json=body, headers=headers))
        await until(lambda: record["run_id"] in watched(still))
        await asyncio.wait([asking], timeout=1.5)
        await still.cancel(record["run_id"], by="client", owner="default")
        answer = await asking

    told_last = json.loads(answer.text.rpartition("data: ")[2])
    assert told_last["result"]["structuredContent"]["status"] == "cancelled"


async def test_calls_count_as_streams_of_their_owner(tmp_path: Path) -> None:
    """Three may be open: two whose answers a client has may be about to end when the next comes."""
    prompts = [f"pass gate counted-{number}" for number in range(3)]
    with serving(tmp_path, tools=GATE, streams_per_owner="3") as server:
        async with connected(server.url) as client:
            await client.list_tools()  # or it would ask for the form of the answer beside the calls
            calls = []
            for prompt in prompts:
                run = client.call_tool("run", {"prompt": prompt})
                calls.append(asyncio.create_task(run))
                await begun(server, prompt)
            refusal = await posted(server, message("legacy", "tools/list")[1], key=None)
            for prompt in prompts:
                server.open_gate(prompt.split()[-1])
            ended = [told(one)["status"] for one in await asyncio.gather(*calls)]

    assert refusal.status_code == 429
    assert refusal.json()["type"] == "urn:runwright:problem:too-many-streams"
    assert ended == ["completed"] * 3


async def test_a_page_of_an_allowed_site_may_send_what_the_protocol_needs(still: Runs) -> None:
    origin = "https://desk.example"
    needed = "mcp-protocol-version, mcp-session-id, mcp-method, mcp-name"
    ask = {"access-control-request-method": "POST", "access-control-request-headers": needed}
    async with serving_app(still, HttpLimits(cors_origins=(origin,))) as client:
        preflight = await client.options("/mcp", headers={"origin": origin, **ask})

    assert preflight.status_code == 200


async def test_where_it_is_not_installed_the_path_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, still: Runs
) -> None:
    monkeypatch.setattr(door, "find_spec", lambda _: None)
    async with serving_app(still) as client:
        answer = await client.post("/mcp", json={})

    assert answer.status_code == 501
    assert answer.json()["detail"] == wording("mcp.missing")
