"""Tables of rows, and records of runs as tables."""

from typing import Any

from graph.workbench.tables import MAX_CELL, Table, history_table, log_table, plan_table, run_table
from tests.support.wording.messages import wording


def table(*values: object, caption: str | None = None) -> Table:
    return Table([{"value": value} for value in values], {"it": lambda row: row["value"]}, caption)


def attempt(step: int, status: str, *, number: int = 1, ms: float = 1.25) -> dict[str, Any]:
    error = None if status == "ok" else {"type": "ToolError", "message": "no", "retryable": True}
    return {
        "step": step,
        "tool": f"tool_{step}",
        "input": {"x": step},
        "attempt": number,
        "status": status,
        "output": step * 10 if status == "ok" else None,
        "error": error,
        "duration_ms": ms,
    }


def record(status: str, *attempts: dict[str, Any], steps: int = 2, **more: Any) -> dict[str, Any]:
    planned = [{"step": n, "tool": f"tool_{n}", "input": {"x": n}} for n in range(1, steps + 1)]
    return {
        "status": status,
        "plan": {"steps": planned},
        "execution_log": list(attempts),
        "result": None,
        "error": None,
        "progress": {"done": 0, "of": steps},
        **more,
    }


def test_a_table_is_a_sequence_of_its_rows() -> None:
    rows = table(1, 2, 3)

    assert len(rows) == 3
    assert rows[-1] == {"value": 3}
    assert list(rows[1:]) == [{"value": 2}, {"value": 3}]
    assert isinstance(rows[:1], Table)


def test_as_text_it_has_columns_under_its_caption() -> None:
    rows = [{"a": "long text", "b": 1}, {"a": "x", "b": None}]
    columns = {"first": lambda row: row["a"], "b": lambda row: row["b"]}

    assert repr(Table(rows, columns, "caption")).splitlines() == [
        "caption",
        "first      b",
        "long text  1",
        "x",
    ]


def test_an_empty_table_says_so() -> None:
    assert repr(table()) == "(no rows)"
    assert table()._repr_html_() == "<p>(no rows)</p>"
    assert repr(table(caption="nothing yet")) == "nothing yet"
    assert table(caption="nothing yet")._repr_html_() == "<p>nothing yet</p>"


def test_what_tools_and_people_write_is_no_markup() -> None:
    shown = table("<script>alert(1)</script>", caption="<b>")._repr_html_()

    assert "<script>" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "<p>&lt;b&gt;</p>" in shown


def test_a_cell_is_one_short_line() -> None:
    long, lines, control = table("x" * 1000, "a\nb\tc", "\x1b[31mred").cells[1:]

    assert len(long[0]) == MAX_CELL
    assert long[0].endswith("…")
    assert lines == ["a\\nb\\tc"]
    assert control == ["\\u001b[31mred"]


def test_values_are_shown_as_json_and_nothing_as_nothing() -> None:
    assert [cell for [cell] in table({"ä": [1]}, True, None, 2.5).cells[1:]] == [
        '{"ä": [1]}',
        "true",
        "",
        "2.5",
    ]


def test_a_run_is_its_steps_with_attempts_added_up() -> None:
    made = [attempt(1, "error", ms=900), attempt(1, "ok", number=2, ms=700), attempt(2, "ok")]
    shown = run_table(record("completed", *made, result={"output": 20, "summary": "done"}))

    assert shown.caption == "completed: done"
    assert shown.cells == [
        ["step", "tool", "status", "attempts", "duration"],
        ["1", "tool_1", "ok", "2", "1.60 s"],
        ["2", "tool_2", "ok", "1", "1.2 ms"],
    ]


def test_steps_without_an_attempt_are_to_do_until_the_run_has_ended() -> None:
    going = run_table(record("running", attempt(1, "ok"), progress={"done": 1, "of": 2}))
    failed = run_table(record("failed", attempt(1, "error"), error={"message": "no"}))

    assert going.caption == wording("workbench.caption.running")
    assert going.cells[2] == ["2", "tool_2", wording("workbench.step.to-do"), "0", ""]
    assert failed.caption == "failed: no"
    assert failed.cells[2] == ["2", "tool_2", wording("workbench.step.not-done"), "0", ""]


def test_a_run_without_a_plan_and_one_that_waits_say_so() -> None:
    assert repr(run_table(record("pending", steps=0))) == wording("workbench.caption.pending")
    waiting = run_table(record("waiting", steps=1))
    assert waiting.caption == wording("workbench.caption.waiting")


def test_the_log_shows_what_was_returned_or_what_went_wrong() -> None:
    shown = log_table(record("running", attempt(1, "error"), attempt(1, "ok", number=2)))

    assert [row[4:6] for row in shown.cells[1:]] == [["error", "no"], ["ok", "10"]]


def test_editing_a_plan_leaves_the_record_as_it_is() -> None:
    kept = record("waiting")
    plan_table(kept)[0]["input"]["x"] = "another"

    assert kept["plan"]["steps"][0]["input"] == {"x": 1}


def test_the_history_tells_where_a_fork_may_begin() -> None:
    entry = {"checkpoint_id": "c", "node": None, "status": "pending", "cursor": 0, "next": ["plan"]}

    assert history_table([entry]).cells[1] == ["c", "", "pending", "0", "plan"]


def test_a_plan_of_several_rounds_tells_the_round_of_each_step() -> None:
    run = record("completed", attempt(1, "ok"), attempt(2, "error"), attempt(4, "ok"), steps=4)
    first = {"round": 1, "first": 1, "last": 3, "dropped": run["plan"]["steps"][1:3]}
    run["plan"]["rounds"] = [first, {"round": 2, "first": 4, "last": 4, "dropped": []}]
    run["result"] = {"output": 40, "summary": "done"}
    shown = run_table(run)
    run["plan"]["rounds"] = [{"round": 1, "first": 1, "last": 4, "dropped": []}]

    assert shown.cells[0][:4] == ["round", "step", "tool", "status"]
    assert [(row[0], row[1], row[3]) for row in shown.cells[1:]] == [
        ("1", "1", "ok"),
        ("1", "2", "error"),
        ("1", "3", "dropped"),
        ("2", "4", "ok"),
    ]
    assert run_table(run).cells[0][0] == "step"
