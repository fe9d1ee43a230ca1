"""The node `execute_step`: one attempt at one step and its record."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from graph.state import step_key
from tests.support.runs.step_attempts import RUN_ID, Attempts, run
from tests.support.wording.messages import wording
from tools.registry import make_tools, tool


async def test_a_step_that_succeeds_is_recorded_and_the_next_is_due() -> None:
    attempts = Attempts(run(("echo", {"value": "hello"}), ("echo", {"value": 2})))
    before = time.time()
    record = await attempts.make()

    assert before <= record["started_at"] <= time.time()
    assert 0 <= record["duration_ms"] < 1_000
    assert record == {
        "kind": "attempt",
        "step": 1,
        "tool": "echo",
        "input": {"value": "hello"},
        "attempt": 1,
        "generation": 0,
        "status": "ok",
        "output": "hello",
        "error": None,
        "retry_at": None,
        "thread_running": False,
        "may_have_acted": True,
        "started_at": record["started_at"],
        "duration_ms": record["duration_ms"],
    }
    assert (attempts.state["cursor"], attempts.state["attempt"]) == (1, 0)
    assert attempts.state["not_before"] is None
    assert attempts.state["error"] is None


async def test_a_tool_gets_its_call_and_its_arguments_as_declared() -> None:
    attempts = Attempts(run(("count", {"number": "2"})))
    record = await attempts.make()

    assert record["output"] == ["me", step_key(attempts.state, 1), "word", "word"]
    assert record["input"] == {"number": "2"}


async def test_references_are_resolved_from_the_latest_successful_attempts() -> None:
    attempts = Attempts(
        run(
            ("echo", {"value": {"n": 2, "who": "Bob {{x}}"}}),
            ("count", {"number": "{step_1_output.n}"}),
            ("echo", {"value": "{{{step_1_output.who}}} {step_2_output[2]}"}),
        )
    )
    first, second, third = await attempts.make_all()

    assert first["output"] == {"n": 2, "who": "Bob {x}"}
    assert second["input"] == {"number": 2}
    assert third["output"] == "{Bob {x}} word"


async def test_a_failed_attempt_gives_no_output_to_refer_to() -> None:
    state = run(("refuse", {"retryable": True}), ("echo", {"value": "{step_1_output}"}))
    attempts = Attempts(state)
    await attempts.make()
    attempts.state["cursor"] = 1

    assert (await attempts.make())["error"] == {
        "type": "InvalidReference",
        "message": "{step_1_output} " + wording("references.step", step=1),
        "retryable": False,
    }


async def test_a_reference_that_finds_nothing_is_final() -> None:
    attempts = Attempts(run(("echo", {"value": {}}), ("echo", {"value": "{step_1_output.id}"})))
    _, record = await attempts.make_all()

    assert record["input"] == {"value": "{step_1_output.id}"}
    assert attempts.state["error"] is not None
    assert attempts.state["error"]["step"] == 2
    assert attempts.state["error"]["message"] == "{step_1_output.id} " + wording(
        "references.part", part="'id'", step=1
    )


async def test_a_resolved_input_is_checked_again() -> None:
    attempts = Attempts(run(("echo", {"value": "many"}), ("count", {"number": "{step_1_output}"})))
    _, record = await attempts.make_all()

    assert record["input"] == {"number": "many"}
    assert record["error"] is not None
    assert (record["error"]["type"], record["error"]["retryable"]) == ("InvalidInput", False)
    assert ": number: " in record["error"]["message"]


async def test_what_is_kept_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The input of an attempt and its output: each may be large."""
    written, dumps = [], json.dumps

    def counted(value: Any, **how: Any) -> str:
        text = dumps(value, **how)
        if len(text) > 5_000 and "cursor" not in text:  # which is the test's own copy of the update
            written.append(text[:10])
        return text

    attempts = Attempts(run(("echo", {"value": "x" * 6_000})))
    monkeypatch.setattr(json, "dumps", counted)
    await attempts.make()

    assert written == ['{"value": ', '"xxxxxxxxx']


async def test_few_words_that_name_a_large_output_often_are_not_built_up() -> None:
    attempts = Attempts(
        run(
            ("echo", {"value": "x" * 900}),
            ("echo", {"value": "{step_1_output}" * 100}),
            max_output=1_000,
        )
    )
    _, record = await attempts.make_all()

    assert record["input"] == {"value": "{step_1_output}" * 100}
    assert record["error"] is not None
    assert record["error"]["type"] == "InvalidInput"
    assert record["error"]["message"] == wording("runs.attempt.input.large")


async def test_what_all_attempts_keep_is_bounded_whether_it_was_given_or_returned() -> None:
    text = "x" * 2_000
    again = run(*[("echo", {"value": text})] * 3, ("echo", {"value": "y"}))
    attempts = Attempts(again, max_kept=9_000)
    first, second, third = await attempts.make_all()

    assert (first["status"], second["status"], third["output"]) == ("ok", "ok", None)
    assert third["error"] is not None
    assert third["error"]["message"] == wording("runs.attempt.kept.input")
    assert third["input"] == {"value": text}  # as it is planned, and kept there
    assert attempts.state["kept"] == 2 * (2_002 + 2_013)

    *_, last = await Attempts(again, max_kept=11_000).make_all()
    assert (last["step"], last["output"]) == (3, None)
    assert last["error"] is not None
    assert (last["error"]["type"], last["may_have_acted"]) == ("InvalidOutput", True)
    assert last["error"]["message"] == wording("runs.attempt.kept.output")


async def test_small_inputs_and_outputs_count_for_nothing() -> None:
    attempts = Attempts(run(*[("echo", {"value": "x" * 900})] * 3), max_kept=1_000)
    assert [record["status"] for record in await attempts.make_all()] == ["ok"] * 3
    assert "kept" not in attempts.state


async def test_what_a_tool_does_to_its_arguments_changes_no_record() -> None:
    attempts = Attempts(
        run(
            ("echo", {"value": [1, 2, 3]}),
            ("append", {"items": "{step_1_output}", "more": {"a": 1}}),
        )
    )
    first, second = await attempts.make_all()

    assert second["output"] == 4
    assert first["output"] == [1, 2, 3]
    assert second["input"] == {"items": [1, 2, 3], "more": {"a": 1}}
    assert attempts.state["plan"]["steps"][1]["input"]["more"] == {"a": 1}


@pytest.mark.parametrize(
    ("output", "key"),
    [
        (lambda: "x" * 1_000, "large"),
        (lambda: 2**70, "integer"),
    ],
)
async def test_an_output_that_cannot_be_kept_is_a_final_error(
    output: Callable[[], Any], key: str
) -> None:
    @tool("produce")
    async def produce() -> Any:
        """Produce something."""
        return output()

    attempts = Attempts(run(("produce", {}), max_output=1_000), make_tools([produce]))
    (record,) = await attempts.make_all()

    assert (record["status"], record["output"]) == ("error", None)
    assert record["error"] is not None
    assert record["error"]["type"] == "InvalidOutput"
    said = wording(f"json_data.{key}").replace("<value>", "1002" if key == "large" else "")
    assert record["error"]["message"].startswith(f"produce: {said}")


async def test_a_tool_that_is_no_longer_loaded_is_a_final_error() -> None:
    """A run may be resumed by a process with other tools."""
    attempts = Attempts(run(("fly", {"to": "Rome"})))
    (record,) = await attempts.make_all()

    assert record["error"] == {
        "type": "UnknownTool",
        "message": wording("runs.attempt.no-tool", tool="'fly'"),
        "retryable": False,
    }


async def test_an_attempt_is_one_line_of_the_log_without_its_data(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("INFO", logger="runwright"):
        await Attempts(run(("echo", {"value": "my secret"}))).make()
    (line,) = caplog.records

    assert line.getMessage() == "attempt ok"
    assert {"run_id": RUN_ID, "step": 1, "attempt": 1, "tool": "echo"}.items() <= vars(line).items()
    assert "my secret" not in str(vars(line))


async def test_the_data_of_an_attempt_is_in_the_log_at_debug(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("DEBUG", logger="runwright"):
        await Attempts(run(("echo", {"value": "my secret"}))).make()
    data = [vars(line) for line in caplog.records if line.levelname == "DEBUG"]

    assert [(line["input"], line["output"]) for line in data] == [
        ({"value": "my secret"}, "my secret")
    ]
