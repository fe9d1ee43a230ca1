"""A run of hundreds of attempts, and what the page takes to draw it."""

import json
from typing import Any

from playwright.sync_api import Page

from api.views import ExplanationAnswer, Run, shape
from graph.record.explain import explain
from graph.record.record import record_of
from graph.state import RunState
from tests.support.runs.generated_runs import REFUSED
from tests.support.runs.run_states import CREATED_AT, attempted, planned, queued

#: Steps of the record, each with three attempts.
STEPS = 200
ATTEMPTS = 3 * STEPS

_DRAW = """async () => {
    const {render} = await import('/console/vendor/preact.mjs');
    const {html} = await import('/console/words.js');
    const {Waterfall} = await import('/console/run/waterfall.js');
    // Beside what the page draws, which goes on with that.
    const place = document.createElement('main');
    document.body.append(place);
    window.read = (text) => { [window.record, window.explained] = JSON.parse(text); };
    window.draw = async () => {
        const {record, explained} = window;
        let changes = 0;
        const seen = new MutationObserver((all) => { changes += all.length; });
        seen.observe(place,
            {subtree: true, childList: true, attributes: true, characterData: true});
        const begun = performance.now();
        render(html`<${Waterfall} record=${record} explained=${explained} chosen="a0"
            select=${() => {}} light=${() => {}} />`, place);
        place.offsetHeight;
        const ms = performance.now() - begun;
        await new Promise((done) => setTimeout(done));
        seen.disconnect();
        const count = (what) => place.querySelectorAll(what).length;
        return {ms, changes, nodes: count('*'), rows: count('[role=row]')};
    };
}"""


def large(attempts: int) -> str:
    """The record and the explanation of a run that has made so many of its attempts, as JSON."""
    state: RunState = planned(queued(), STEPS)
    at = CREATED_AT + 2
    for number in range(attempts):
        times: dict[str, Any] = {"started_at": at, "duration_ms": 250.0}
        at += 0.3
        if number % 3 < 2:
            times |= {"status": "error", "output": None, "error": REFUSED, "retry_at": at}
        state = attempted(state, **times)
    told = explain(state, now=CREATED_AT + 2 + ATTEMPTS * 0.3 + 1)
    answers = shape(Run).json(record_of(state)), shape(ExplanationAnswer).json(told)
    return json.dumps([json.loads(answer) for answer in answers])


class Drawing:
    """Draws records in a page of the server, one in the place of the other."""

    def __init__(self, page: Page) -> None:
        self._page = page
        page.evaluate(_DRAW)
        self._browser = page.context.new_cdp_session(page)
        self._browser.send("Performance.enable", {"timeDomain": "threadTicks"})

    def draw(self, text: str) -> dict[str, float]:
        """Milliseconds until it is drawn, in `ms`, and of the CPU, in `cpu_ms`.

        Besides the `nodes` and `rows` that there are then, and how many `changes` that took.
        """
        self._page.evaluate("(text) => window.read(text)", text)
        before = self._cpu_ms()
        told: dict[str, float] = self._page.evaluate("window.draw()")
        return told | {"cpu_ms": self._cpu_ms() - before}

    def _cpu_ms(self) -> float:
        metrics = self._browser.send("Performance.getMetrics")["metrics"]
        [seconds] = [one["value"] for one in metrics if one["name"] == "TaskDuration"]
        return float(seconds) * 1000
