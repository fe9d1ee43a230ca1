"""A server exports the spans of its runs: all of them, also after a kill, at no cost of theirs."""

import re
import socket
import sqlite3
from contextlib import closing

import pytest

from graph.build import build_graph
from graph.runs.recovery import thread
from graph.state import Channels, whole
from graph.storage.open import open_storage
from graph.telemetry.spans import Span, spans
from tests.support.deployment.otlp_receiver import SAID, Manner, Receiver, receiving
from tests.support.examples import slow
from tests.support.patience import wait_until
from tests.support.servers.server_process import ServerProcess, serving

PROMPTS = ("what is 2 plus 3", "divide 1 by 0", "hello there", "add milk to my to-do list")


async def expected(folder) -> dict[int, Span]:
    """The spans of everything that the database has, by their ids."""
    async with open_storage(f"sqlite:///{folder}/runs.db") as storage:
        graph = build_graph({}, checkpointer=storage.reader, input_schema=Channels)
        rows = await storage.index.settled_last(1e12, limit=1_000)
        states = [whole((await graph.aget_state(thread(row.run_id))).values) for row in rows]
    return {span.place.span_id: span for state in states for span in spans(state)}


def assert_same(receiver: Receiver, told: dict[int, Span]) -> None:
    """What came is what the records say, however often each of it came."""
    for span_id, sent in receiver.spans.items():
        span = told[span_id]
        for one in sent:
            assert one.name == span.name
            assert int.from_bytes(one.trace_id) == span.place.trace_id
            parent = span.parent.span_id if span.parent else 0
            assert int.from_bytes(one.parent_span_id) == parent
            assert one.start_time_unix_nano == int(span.start * 1e9)
            assert one.end_time_unix_nano == int(span.end * 1e9)
            linked = [int.from_bytes(link.span_id) for link in one.links]
            assert linked == [link.span_id for link in span.links]
            assert (one.status.message or None) == span.error
    assert receiver.spans.keys() == told.keys()


def settle_all(server: ServerProcess, *, retried: bool) -> None:
    begun = [server.post(prompt) for prompt in PROMPTS]
    for run_id in begun:
        server.settled(run_id)
    if retried:
        assert server.client.post(f"/runs/{begun[1]}/retry", json={}).is_success
        server.settled(begun[1])


async def test_what_is_exported_is_what_the_records_say(tmp_path, receiver, exporting):
    exporting(receiver, OTEL_SERVICE_NAME="our agents")
    with serving(tmp_path, traces="otlp") as server:
        settle_all(server, retried=True)
        assert server.terminate() == 0

    assert_same(receiver, await expected(tmp_path))
    assert receiver.services == {"our agents"}
    assert receiver.names.count("invoke_agent runwright") == len(PROMPTS) + 1


async def test_nothing_is_exported_where_an_endpoint_is_merely_set(tmp_path, receiver, exporting):
    exporting(receiver)
    with serving(tmp_path) as server:
        settle_all(server, retried=False)
        server.terminate()

    assert receiver.asked == 0


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_SDK_DISABLED": "true"},
        *slow({"OTEL_TRACES_SAMPLER": "always_off"}, {"OTEL_TRACES_EXPORTER": "none"}),
    ],
)
async def test_what_the_standard_variables_switch_off_is_not_exported(
    tmp_path, receiver, exporting, variables
):
    exporting(receiver, **variables)
    with serving(tmp_path, traces="otlp") as server:
        settle_all(server, retried=False)
        server.terminate()

    assert receiver.asked == 0


@pytest.mark.parametrize("manner", ["fails", "never", *slow("garbage", "babbles")])
def test_a_bad_collector_costs_no_run_and_no_end(tmp_path, exporting, manner: Manner):
    with receiving(manner) as receiver:
        exporting(receiver, OTEL_BSP_MAX_QUEUE_SIZE="8", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="8")
        with serving(tmp_path, traces="otlp") as server:
            settle_all(server, retried=True)
            wait_until(lambda: receiver.asked)
            settle_all(server, retried=True)
            told = server.client.get("/metrics").text
            assert server.terminate() == 0

    with closing(sqlite3.connect(tmp_path / "runs.db")) as connection:
        rows = connection.execute("SELECT count(*) FROM runs WHERE completed_at IS NOT NULL")
        assert rows.fetchall() == [(2 * len(PROMPTS),)]
    if manner in ("fails", "never"):
        assert 'runwright_spans_total{outcome="dropped"}' in told
    assert "note" not in "\n".join(server.lines)


#: What stands in the address of a collector, and in the variable for its headers.
HIDDEN = "hidden-key"


@pytest.mark.parametrize("manner", ["garbage", "dead", *slow("fails", "babbles", "elsewhere")])
def test_of_a_collector_and_its_answers_the_log_tells_no_words(tmp_path, exporting, manner):
    with receiving("garbage" if manner == "dead" else manner) as receiver:
        url = "http://127.0.0.1:9" if manner == "dead" else receiver.url
        told = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"{url}/{HIDDEN}", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
        exporting(receiver, **told, OTEL_EXPORTER_OTLP_HEADERS=f"Bearer {HIDDEN}")
        with serving(tmp_path, traces="otlp") as server:
            settle_all(server, retried=False)
            wait_until(lambda: outcomes(server))
            assert server.terminate() == 0

    log = "\n".join(server.lines)
    assert "is malformed" in log  # the headers are no pairs
    assert HIDDEN not in log
    assert SAID not in log


def outcomes(server: ServerProcess) -> dict[str, float]:
    """What became of how many spans."""
    told = server.client.get("/metrics").text
    found = re.findall(r'^runwright_spans_total{outcome="(.+)"} (.+)$', told, re.MULTILINE)
    return {outcome: float(count) for outcome, count in found}


def test_spans_that_are_sent_elsewhere_have_failed_and_go_nowhere(tmp_path, exporting, receiver):
    with receiving("elsewhere") as bad:
        bad.elsewhere = receiver.url
        exporting(bad)
        with serving(tmp_path, traces="otlp") as server:
            settle_all(server, retried=False)
            wait_until(lambda: outcomes(server))
            assert {*outcomes(server)} == {"failed"}

    assert bad.asked
    assert receiver.asked == 0


def test_where_no_collector_is_the_runs_go_on_and_the_spans_are_counted(tmp_path, exporting):
    with socket.create_server(("127.0.0.1", 0)) as place:
        port = place.getsockname()[1]
    exporting(Receiver(f"http://127.0.0.1:{port}"), OTEL_EXPORTER_OTLP_TIMEOUT="1")
    with serving(tmp_path, traces="otlp") as server:
        settle_all(server, retried=True)
        wait_until(lambda: outcomes(server))
        assert {*outcomes(server)} == {"failed"}
        assert server.terminate() == 0


def test_of_an_answer_without_an_end_only_the_beginning_is_read(tmp_path, exporting):
    with receiving("endless") as receiver:
        exporting(receiver)
        with serving(tmp_path, traces="otlp") as server:
            settle_all(server, retried=False)
            wait_until(lambda: receiver.left)
            assert server.terminate() == 0


def test_a_server_that_cannot_export_says_what_is_missing(tmp_path, monkeypatch):
    from graph.telemetry.traces import TracesMissing

    assert "make otel" in str(TracesMissing())


CALLER = "0af7651916cd43dd8448eb211c80319c"


def called(server: ServerProcess, path: str, body: object, span: str, flags: str = "01") -> str:
    answer = server.client.post(
        path, json=body, headers={"traceparent": f"00-{CALLER}-{span}-{flags}"}
    )
    assert answer.is_success, answer.text
    return str(answer.json()["run_id"])


async def test_a_run_goes_on_in_the_trace_of_its_caller_also_elsewhere(
    tmp_path, receiver, exporting
):
    """A post, a retry and a fork of callers with traces; the process that took them is killed."""
    exporting(receiver)
    with serving(tmp_path, traces="otlp") as server:
        posted = called(server, "/runs", {"prompt": "divide 1 by 0"}, "b" * 16)
        server.settled(posted)
        called(server, f"/runs/{posted}/retry", {}, "c" * 16)
        server.settled(posted)
        history = server.client.get(f"/runs/{posted}/history").json()["checkpoints"]
        body = {"checkpoint_id": history[0]["checkpoint_id"]}
        fork = called(server, f"/runs/{posted}/fork", body, "d" * 16)
        garbled = server.client.post(
            "/runs", json={"prompt": "what is 2 plus 3"}, headers={"traceparent": "00-1-2-3"}
        ).json()["run_id"]
        server.kill()
    with serving(tmp_path, traces="otlp") as server:
        server.settled(fork)
        server.settled(garbled)
        assert server.terminate() == 0

    assert_same(receiver, await expected(tmp_path))
    ours = [one for sent in receiver.spans.values() for one in sent]
    roots = [one for one in ours if one.name == "invoke_agent runwright"]
    within = {one.parent_span_id.hex() for one in roots if one.trace_id.hex() == CALLER}
    assert within == {"b" * 16, "c" * 16, "d" * 16}
    assert {one.parent_span_id for one in roots if one.trace_id.hex() != CALLER} == {b""}


async def test_what_a_caller_does_not_sample_is_not_exported(tmp_path, receiver, exporting):
    exporting(receiver)
    with serving(tmp_path, traces="otlp") as server:
        run_id = called(server, "/runs", {"prompt": "what is 2 plus 3"}, "b" * 16, "00")
        server.settled(run_id)
        assert server.terminate() == 0

    assert receiver.spans == {}
