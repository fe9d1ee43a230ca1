"""A run of hundreds of attempts, and what the page takes to draw it."""

import json
from typing import Any

from playwright.sync_api import Page

from api.views.answers import ExplanationAnswer, Run, shape
from graph.record.explain import explain
from graph.record.record import record_of
from graph.state import RunState
from tests.support.runs.generated_runs import REFUSED
from tests.support.runs.run_states import CREATED_AT, attempted, planned, queued

#: Steps of the record, each with three attempts.
STEPS = 200
ATTEMPTS = 3 * STEPS

_DRAWN = """async ([before, after]) => {
    const {render} = await import('/console/vendor/preact.mjs');
    const {html} = await import('/console/words.js');
    const {Waterfall} = await import('/console/run/waterfall.js');
    const place = document.createElement('div');
    document.getElementById('main').replaceChildren(place);
    const draw = async (text) => {
        const [record, explained] = JSON.parse(text);
        const begun = performance.now();
        render(html`<${Waterfall} record=${record} explained=${explained} chosen="a0"
            select=${() => {}} light=${() => {}} />`, place);
        place.offsetHeight;
        return performance.now() - begun;
    };
    const all = await draw(before);
    const nodes = place.querySelectorAll('*').length;
    let changes = 0;
    new MutationObserver((seen) => { changes += seen.length; }).observe(
        place, {subtree: true, childList: true, attributes: true, characterData: true});
    const one = await draw(after);
    await new Promise((done) => setTimeout(done));
    return {all, one, changes, nodes, rows: place.querySelectorAll('[role=row]').length};
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


def drawn(page: Page, before: object, after: object) -> dict[str, float]:
    """Draw one record in a page of the server and then the other, in its place.

    Milliseconds for `all` of the first and for the `one` event that makes the second of it; the
    `nodes` of the first, the `changes` that the second made to them, and its `rows`.
    """
    told: dict[str, float] = page.evaluate(_DRAWN, [before, after])
    return told
