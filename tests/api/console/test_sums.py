"""The page's own arithmetic: whatever happened to a run, its bars are its time, each once."""

from collections import Counter

import pytest
from playwright.sync_api import Browser

from api.views import ExplanationAnswer, Run, shape
from graph.record.explain import explain
from graph.record.record import record_of
from graph.state import marks as marks_of
from tests.support.console.browser import page_of
from tests.support.runs.generated_runs import GeneratedRun
from tests.support.servers.server_process import ServerProcess

pytestmark = pytest.mark.slow

#: So many runs are drawn; a quarter of them go on still.
RUNS, BATCH = 1_000, 100

_SUMS = """async (texts) => {
    const runs = texts.map(([record, told, now]) => [JSON.parse(record), JSON.parse(told), now]);
    const {rows, grown, scale, totals} = await import('/console/run/timeline.js');
    const sum = (all, of) => all.reduce((total, one) => total + of(one), 0);
    const ms = (row) => row.ms, starts = (bar) => bar.start_ms;
    return runs.map(([record, told, now]) => {
        const spans = grown(record, told, now), all = rows(record, spans);
        const bars = all.flatMap((row) => row.bars), parts = all.filter((row) => row.parts.length);
        return {
            rows: sum(all, ms),
            bars: sum(bars, (bar) => bar.length_ms),
            totals: sum(totals(spans), ms),
            length: record.completed_at ? told.total_ms : now - Date.parse(record.created_at),
            each: bars.length === spans.length && new Set(bars.map(starts)).size === bars.length,
            parts: Math.max(0, ...parts.map((row) => Math.abs(sum(row.parts, ms) - row.ms))),
            end: scale(spans, true).at(Infinity),
            attempts: bars.filter((bar) => bar.at?.[0] === 'a').length,
            logged: record.execution_log.filter((entry) => entry.duration_ms >= 0.002).length,
        };
    });
}"""


def generated(run: GeneratedRun) -> tuple[str, str, float]:
    """A run's record and explanation as they are sent, and the time by the page's clock, in ms."""
    record = shape(Run).json(record_of(run.state))
    told = shape(ExplanationAnswer).json(explain(run.state, now=run.now))
    return record.decode(), told.decode(), run.now * 1000 + 250


def test_the_bars_of_a_thousand_runs_add_up_to_their_length(
    browser: Browser, server: ServerProcess
) -> None:
    runs = [GeneratedRun(number) for number in range(RUNS)]
    seen = Counter(run.state["status"] for run in runs)
    marks = Counter(mark["what"] for run in runs for mark in marks_of(run.state))
    assert min(marks[what] for what in ("approved", "taken_up", "retry")) > 100
    assert min(seen["completed"], seen["failed"], seen["running"]) > 30
    with page_of(browser, server.url) as page:
        page.goto("/")
        for first in range(0, RUNS, BATCH):
            texts = [generated(run) for run in runs[first : first + BATCH]]
            for number, sums in enumerate(page.evaluate(_SUMS, texts), first):
                near = pytest.approx(sums["length"], abs=1)
                assert [sums["rows"], sums["bars"], sums["totals"]] == [near] * 3, number
                assert sums["each"], number
                assert sums["parts"] < 1, number
                assert sums["end"] == pytest.approx(1), number
                assert sums["attempts"] == sums["logged"], number
