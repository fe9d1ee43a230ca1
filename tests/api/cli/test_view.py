"""What a terminal shows of a run: exact words, nothing that a terminal would act upon."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from api.cli.lines import EventLines, pretty, printable
from api.cli.terminal_view import Activity, TerminalView, activity_after
from api.cli.view import NoView, PlainView, open_view
from graph.record.events import Event, EventType

RUN_ID = "3649e764-182c-4e2a-baa5-565cd8d75ff6"

#: Clears the screen, sets the title, colours by a one-byte code, and turns the text around.
HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e[bold red]x[/]\r\n\x00"
HARMLESS = r"\u001b[2J\u001b]0;owned\u0007\u009b31m\u202e[bold red]x[/]\r\n\u0000"


def event(kind: EventType, at: float = 0.0, **data: Any) -> Event:
    """An event whose step and attempt are 1 where it has any."""
    place = 1 if kind.startswith("step.") else None
    return Event(
        id=1, type=kind, at=at, node=None, step=place, attempt=place, generation=place, data=data
    )


def attempt(status: str, **data: Any) -> Event:
    made = {
        "tool": "flaky",
        "status": status,
        "duration_ms": 12.4,
        "error": None if status == "ok" else {"type": "E", "message": "no luck", "retryable": True},
        "retry_at": None,
        "thread_running": False,
        **data,
    }
    return event("step.completed" if status == "ok" else "step.failed", **made)


def call(planner: str = "llm", **data: Any) -> Event:
    made = {"model": "openai/x", "error_class": None, "reasons": [], "duration_ms": 800.0, **data}
    return event("plan.attempt", planner=planner, **made)


def plan(source: str = "pattern", model: str | None = None, steps: int = 2) -> Event:
    by = {"source": source, "model": model, "reason": "no model is configured", "complexity": None}
    return event("plan.made", planned_by=by, steps=[{}] * steps)


@pytest.mark.parametrize(
    ("happened", "words"),
    [
        (event("run.queued", owner="default"), f"run {RUN_ID}"),
        (event("run.started"), None),
        (event("plan.started"), None),
        (event("run.taken_up", by="server", detail=None), "taken up again"),
        (
            event("run.taken_up", by="server", detail="start 2 since the last checkpoint"),
            "taken up again (start 2 since the last checkpoint)",
        ),
        (call(outcome="planned"), "  plan openai/x: planned in 800 ms"),
        (
            call(outcome="failed", error_class="Timeout"),
            "  plan openai/x: failed in 800 ms (Timeout)",
        ),
        (
            call(outcome="rejected", reasons=["no tool a", "no tool b"]),
            "  plan openai/x: rejected in 800 ms (no tool a; no tool b)",
        ),
        (call(planner="pattern", outcome="planned"), None),
        (plan(), "plan by pattern (no model is configured): 2 steps"),
        (plan("llm", "openai/x", 1), "plan by openai/x (no model is configured): 1 step"),
        (event("step.started", tool="flaky", not_before=None), None),
        (attempt("ok"), "  step 1 flaky: ok in 12 ms"),
        (attempt("error"), "  step 1 flaky: error in 12 ms (attempt 1: no luck)"),
        (
            attempt("timeout", thread_running=True, retry_at=1_700_000_000.25),
            "  step 1 flaky: timeout in 12 ms (attempt 1: no luck), its thread still runs,"
            " again at 2023-11-14T22:13:20.250Z",
        ),
        (
            event("run.waiting"),
            f"waiting for a person: `runwright approve {RUN_ID}` or `runwright reject {RUN_ID}`",
        ),
        (event("run.cancelling", by="someone", detail=None), "cancelling, asked for by someone"),
        (event("run.completed", result={"output": 4}), "4"),
        (event("run.completed", result={"output": "a\n\tb"}), "a\n\tb"),
        (event("run.completed", result={"output": {"ü": None}}), '{\n  "ü": null\n}'),
        (
            event("run.failed", error={"message": "not understood", "examples": ["a", "b"]}),
            "failed: not understood\n  try: a\n  try: b",
        ),
        (
            event("run.cancelled", error={"message": "cancelled after 1 step", "examples": []}),
            "cancelled after 1 step",
        ),
        (event("end", status="completed"), None),
    ],
)
def test_each_event_has_its_words_or_none(happened: Event, words: str | None) -> None:
    """Stable, so that scripts may look for them."""
    assert EventLines(RUN_ID).words(happened) == words


def test_a_fallback_is_told_where_models_were_asked() -> None:
    """Where none is configured, the plan's own line says so."""
    lines = EventLines(RUN_ID)
    fallback = event("plan.fallback", reason="no model answered")
    assert lines.words(fallback) is None
    lines.words(call(outcome="failed"))
    assert lines.words(fallback) == "  plan by pattern instead (no model answered)"


@pytest.mark.parametrize(
    "happened",
    [
        event("run.cancelling", by=HOSTILE, detail=None),
        event("run.taken_up", by="server", detail=HOSTILE),
        call(outcome="rejected", reasons=[HOSTILE]),
        call(outcome="planned", model=HOSTILE),
        attempt("error", error={"type": "E", "message": HOSTILE, "retryable": False}),
        attempt("ok", tool=HOSTILE),
        event("run.failed", error={"message": HOSTILE, "examples": [HOSTILE]}),
        event("run.completed", result={"output": HOSTILE}),
        event("run.completed", result={"output": {HOSTILE: HOSTILE}}),
    ],
)
@pytest.mark.parametrize("live", [False, True])
def test_what_a_terminal_would_act_upon_is_escaped(happened: Event, live: bool) -> None:
    """Whoever has a to-do with control characters does not own the terminals that show it."""
    out = io.StringIO()
    if live:
        console = Console(file=out, force_terminal=True, color_system=None, soft_wrap=True)
        with TerminalView(RUN_ID, console) as view:
            view.show(happened)
            view.note(HOSTILE)
    else:
        with PlainView(RUN_ID, out, out) as view:
            view.show(happened)
            view.note(HOSTILE)
    shown = out.getvalue()
    assert "[2J\\u001b]0;owned" in shown
    assert "[bold red]x[/]" in shown
    assert not {"\x07", "\x9b", "\u202e", "\x00"} & set(shown)
    assert "\x1b[2J" not in shown


def test_a_line_stays_one_line() -> None:
    """Or a message could pass for a line of ours."""
    assert printable(HOSTILE) == HARMLESS
    assert "\n" not in str(EventLines(RUN_ID).words(attempt("ok", tool="a\nb\u2028c")))


@given(st.recursive(st.text() | st.none() | st.booleans(), st.lists, max_leaves=5))
def test_what_is_printed_as_json_means_the_same_and_is_printable(value: Any) -> None:
    """Also lone surrogates and characters beyond the first plane."""
    text = pretty(value)
    assert json.loads(text) == value
    assert text.replace("\n", "").isprintable()


def test_notes_go_beside_the_output() -> None:
    """The output is the run's alone."""
    out, notes = io.StringIO(), io.StringIO()
    view = PlainView(RUN_ID, out, notes)
    view.show(plan())
    view.note("cancelling")
    assert out.getvalue() == "plan by pattern (no model is configured): 2 steps\n"
    assert notes.getvalue() == "runwright: cancelling\n"


def test_for_a_program_events_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """The record will be all of the output."""
    with open_view(RUN_ID, as_json=True) as view:
        view.show(plan())
        view.note("cancelling")
    assert isinstance(view, NoView)
    assert capsys.readouterr() == ("", "runwright: cancelling\n")


@pytest.mark.parametrize("environment", [{"FORCE_COLOR": "1"}, {"TTY_INTERACTIVE": "1"}, {}])
def test_a_pipe_gets_plain_lines_whatever_colours_are_forced(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As build servers do; there is no cursor to be moved."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert isinstance(open_view(RUN_ID, as_json=False), PlainView)


@pytest.mark.parametrize(
    ("activity", "now", "words"),
    [
        (Activity("planning", 10.0), 10.9, "planning, 0 s"),
        (Activity("planning", 10.0), 12.1, "planning, 2 s"),
        (Activity("planning", 10.0), 9.0, "planning, 0 s"),
        (Activity("planning", 10.0), 135.0, "planning, 2 min 5 s"),
        (Activity("step 1 x, attempt 2", 20.0, due=20.0), 17.5, "step 1 x, attempt 2 in 3 s"),
        (Activity("step 1 x, attempt 2", 20.0, due=20.0), 19.9, "step 1 x, attempt 2 in 1 s"),
        (Activity("step 1 x, attempt 2", 20.0, due=20.0), 20.0, "step 1 x, attempt 2, 0 s"),
        (Activity("step 1 x, attempt 2", 20.0, due=20.0), 21.0, "step 1 x, attempt 2, 1 s"),
    ],
)
def test_what_goes_on_counts_up_and_a_wait_counts_down(
    activity: Activity, now: float, words: str
) -> None:
    """In whole seconds; clocks that differ show no negative time."""
    assert activity.words(now) == words


def test_what_goes_on_follows_from_the_events() -> None:
    """Each says what the run does next."""
    queued = activity_after(event("run.queued", 1.0), None)
    assert queued == Activity("queued", 1.0)
    planning = activity_after(event("plan.started", 2.0), queued)
    assert planning == Activity("planning", 2.0)
    assert activity_after(call(outcome="failed"), planning) == planning
    started = activity_after(event("step.started", 3.0, tool="x", not_before=None), planning)
    assert started == Activity("step 1 x", 3.0)
    again = activity_after(event("run.taken_up", 9.0), started)
    assert again == Activity("step 1 x", 9.0)
    waiting = activity_after(event("step.started", 3.0, tool="x", not_before=7.5), None)
    assert waiting == Activity("step 1 x", 7.5, due=7.5)
    assert activity_after(event("run.completed", 9.0), again) is None


def test_the_drawing_is_gone_when_it_ends() -> None:
    """What stays is the lines of the events."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system=None, soft_wrap=True)
    with TerminalView(RUN_ID, console, now=lambda: 17.5) as view:
        view.show(event("step.started", 3.0, tool="x", not_before=20.0))
        view.show(attempt("ok"))
        view.show(event("run.completed", result={"output": 4}))
    drawn = out.getvalue()
    assert "step 1 x in 3 s" in drawn
    assert drawn.index("step 1 x in 3 s") < drawn.index("  step 1 flaky: ok in 12 ms\n")
    assert "step 1 x" not in drawn[drawn.index("ok in 12 ms") :]
    assert drawn.endswith("\x1b[?25h\r\x1b[1A\x1b[2K")
