"""What a terminal shows of a run: exact words, nothing that a terminal would act upon."""

import io
import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from api.cli.follow import NoView, PlainView, open_view
from api.cli.terminal_view import Activity, TerminalView, activity_after
from api.cli.text import EventLines, pretty
from graph.record.events import Event
from graph.runs.watch import AnswerDelta
from graph.state.wording import printable
from tests.support.wording.api.terminal import (
    GOING_ON,
    RUN_ID,
    SILENT,
    TOLD,
    asked,
    attempt,
    event,
    plan,
)
from tests.support.wording.messages import wording

#: Clears the screen, sets the title, colours by a one-byte code, and turns the text around.
HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e[bold red]x[/]\r\n\x00"
HARMLESS = r"\u001b[2J\u001b]0;owned\u0007\u009b31m\u202e[bold red]x[/]\r\n\u0000"


@pytest.mark.parametrize("happened", TOLD.values(), ids=TOLD)
def test_each_event_that_matters_has_its_words(happened: Event) -> None:
    """Stable, so that scripts may look for them: the golden file has them."""
    assert EventLines(RUN_ID).words(happened)


@pytest.mark.parametrize("happened", SILENT.values(), ids=SILENT)
def test_an_event_that_tells_nothing_new_has_none(happened: Event) -> None:
    assert EventLines(RUN_ID).words(happened) is None


@pytest.mark.parametrize(
    ("output", "words"), [(4, "4"), ("a\n\tb", "a\n\tb"), ({"ü": None}, '{\n  "ü": null\n}')]
)
def test_the_result_is_told_as_it_is(output: Any, words: str) -> None:
    assert EventLines(RUN_ID).words(event("run.completed", result={"output": output})) == words


def test_a_fallback_is_told_where_models_were_asked() -> None:
    """Where none is configured, the plan's own line says so."""
    lines = EventLines(RUN_ID)
    fallback = event("plan.fallback", reason="no model answered")
    assert lines.words(fallback) is None
    lines.words(asked(outcome="failed"))
    assert lines.words(fallback) == wording("terminal.fallback", reason="no model answered")


@pytest.mark.parametrize(
    "happened",
    [
        event("run.cancelling", by=HOSTILE, detail=None),
        event("run.taken_up", by="server", detail=HOSTILE),
        asked(outcome="rejected", reasons=[HOSTILE]),
        asked(outcome="planned", model=HOSTILE),
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
    assert out.getvalue() == wording("terminal.plan") + "\n"
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


@pytest.mark.parametrize(("activity", "now"), GOING_ON.values(), ids=GOING_ON)
def test_what_goes_on_counts_up_and_a_wait_counts_down(activity: Activity, now: float) -> None:
    """In whole seconds; clocks that differ show no negative time."""
    waits = activity.due is not None and now < activity.due
    seconds = math.ceil(20.0 - now) if waits else int(max(0.0, now - activity.since))
    minutes, seconds = divmod(seconds, 60)
    told = re.findall(r"\d+", activity.words(now).removeprefix(activity.what))

    assert [int(number) for number in told] == ([minutes, seconds] if minutes else [seconds])


def test_what_goes_on_follows_from_the_events() -> None:
    """Each says what the run does next."""
    queued = activity_after(event("run.queued", 1.0), None)
    assert queued == Activity("queued", 1.0)
    planning = activity_after(event("plan.started", 2.0), queued)
    assert planning == Activity("planning", 2.0)
    assert activity_after(asked(outcome="failed"), planning) == planning
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
    ok, going_on = wording("terminal.step.ok"), wording("terminal.begins.step")
    assert drawn.index(going_on) < drawn.index(f"{ok}\n")
    assert going_on not in drawn[drawn.index(ok) :]
    assert drawn.endswith("\x1b[?25h\r\x1b[1A\x1b[2K")


# The answer while it is given.


def settled(text: str = "It is 42.", **more: Any) -> Event:
    answer = {"text": text, "model": "a/one", "source": "finalize"}
    result = {"output": 42, "summary": "1 step done; the result is 42", "answer": answer, **more}
    return event("run.completed", result=result)


def written(*deltas: tuple[str, int], end: Event | None = None) -> str:
    """What a pipe gets of an answer in parts, and of the end."""
    out = io.StringIO()
    with PlainView(RUN_ID, out, io.StringIO()) as view:
        for text, offset in deltas:
            view.hear(AnswerDelta(text=text, offset=offset))
        view.show(end or settled())
    return out.getvalue()


COUNTED = "(1 step done; the result is 42)\n"


@pytest.mark.parametrize(
    "deltas",
    [
        [],
        [("It", 0), (" is", 2), (" 42.", 5)],
        [("It", 0), (" 42.", 5)],  # one is missed
        [(" 42.", 5)],  # who came in the middle
    ],
    ids=["none", "all", "missed", "late"],
)
def test_the_answer_is_printed_once_and_whole_however_much_was_heard(
    deltas: list[tuple[str, int]],
) -> None:
    assert written(*deltas) == f"It is 42.\n{COUNTED}"


def test_an_incomplete_run_has_its_answer_our_count_and_the_reason() -> None:
    result = settled()["data"]["result"]
    error = {"type": "incomplete", "message": "no model could plan on", "examples": []}
    out = written(("It", 0), end=event("run.failed", result=result, error=error))

    assert out == f"It is 42.\n{COUNTED}failed: no model could plan on\n"


def test_an_answer_that_begins_anew_is_printed_below() -> None:
    assert written(("They", 0), ("It is 42.", 0)) == f"They\nIt is 42.\n{COUNTED}"


def test_an_answer_that_was_cut_off_says_so_with_our_count_below() -> None:
    out = io.StringIO()
    with PlainView(RUN_ID, out, io.StringIO()) as view:
        view.hear(AnswerDelta(text="Half an ans", offset=0))
        view.show(event("answer.attempt", outcome="failed"))
        view.show(settled(answer=None))
    assert out.getvalue() == f"Half an ans… (the answer was cut off)\n{COUNTED}42\n"


def test_a_shape_without_an_answer_is_printed_below_the_output() -> None:
    shaped = settled(answer=None, structured={"value": {"total": 42}, "reason": None})
    assert written(end=shaped) == '42\n{\n  "total": 42\n}\n'


def test_an_answer_has_no_power_over_a_terminal() -> None:
    out = written((HOSTILE, 0), end=settled(HOSTILE))

    assert "\x1b" not in out
    assert "\u202e" not in out


def test_the_shape_of_an_answer_is_printed_below_it() -> None:
    shaped = settled(structured={"value": {"total": 42}, "reason": None})
    assert written(end=shaped).endswith(f'{COUNTED}{{\n  "total": 42\n}}\n')
    none = settled(structured={"value": None, "reason": "total: not a number"})
    assert written(end=none).endswith(f"{COUNTED}total: not a number\n")


def test_a_terminal_draws_the_answer_as_far_as_it_was_given() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=40, height=6, markup=False)
    with TerminalView(RUN_ID, console) as view:
        view.hear(AnswerDelta(text="It is", offset=0))
        assert str(view._current()) == "It is"
        view.hear(AnswerDelta(text=" 42.", offset=5))
        assert str(view._current()) == "It is 42."
        view.show(settled())
        assert str(view._current()) == ""
    assert "It is 42." in out.getvalue()
    assert COUNTED.strip() in out.getvalue()
