// A new run: the plan appears while one types, and what no planner can place is underlined.
import { useEffect, useState } from "../vendor/hooks.mjs";
import { call } from "../api.js";
import { brief, html, pieces, Wrong } from "../words.js";

const SENTENCES = [
  "Add a todo to buy milk, then show me all my tasks",
  "what is (41*7)+13",
  "Calculate 42 * 8 and add the result as a task",
  "what's the capital of France, and add a todo to visit it",
];

// No model is asked while one types: with this budget the planner without a model plans, for free.
const FREE = { tokens: 0 };

// Typing rests for so long, in ms, before a plan is asked for.
const REST = 120;

export function Compose({ first, given }) {
  const [prompt, write] = useState(given ?? "");
  const [plan, preview] = useState(null);
  const [approve, ask] = useState(false);
  const [wrong, tell] = useState(null);
  const [busy, hold] = useState(false);

  useEffect(() => {
    preview(null);
    if (!prompt.trim()) return undefined;
    const aborted = new AbortController();
    const timer = setTimeout(() => {
      call("plan", { method: "POST", body: { prompt, budget: FREE }, signal: aborted.signal })
        .then((told) => preview({ prompt, ...told }))
        .catch(() => preview(null));
    }, REST);
    return () => {
      clearTimeout(timer);
      aborted.abort();
    };
  }, [prompt]);

  async function start(text = prompt) {
    if (!text.trim() || busy) return;
    hold(true);
    tell(null);
    try {
      const run = await call("runs", { method: "POST", body: { prompt: text, mode: approve ? "plan" : "execute" } });
      location.hash = `#/runs/${run.run_id}`;
    } catch (problem) {
      tell(problem);
      hold(false);
    }
  }
  const unplaced = plan?.prompt === prompt ? plan.error?.unparsed ?? [] : [];
  const steps = plan?.prompt === prompt ? plan.steps : [];
  const marked = pieces(prompt, [...unplaced.map((one) => ({ ...one, kind: "unplaced" })), ...steps]);
  return html`<section class="compose card" aria-label="A new run">
    <form onSubmit=${(event) => { event.preventDefault(); start(); }}>
      <label for="prompt">What should be done?</label>
      <div class="paper">
        <div class="under" aria-hidden="true">${marked.map(({ text, over }) =>
          html`<span class=${over.some((one) => one.kind) ? "unplaced" : over.length ? "placed" : ""}>${text}</span>`)}${" "}</div>
        <textarea id="prompt" rows="1" data-key="n" autofocus value=${prompt} spellcheck=${false}
          aria-describedby="preview" placeholder="In your own words"
          onInput=${(event) => write(event.target.value)}
          onKeyDown=${(event) => { if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); start(); } }}></textarea>
      </div>
      <div class="row">
        <button class="primary" disabled=${busy || !prompt.trim()}>Run</button>
        <label class="check"><input type="checkbox" checked=${approve} onChange=${(event) => ask(event.target.checked)} /> show me the plan first</label>
        <span class="quiet keyhint">Enter runs it, Shift+Enter is a new line</span>
      </div>
      <${Wrong} problem=${wrong} again=${() => start()} />
    </form>
    <div id="preview" class="preview" aria-live="polite">
      ${steps.length > 0 && html`<ol class="plan">${steps.map((step) =>
        html`<li><b class="step">${step.step}</b> <code>${step.tool}</code> <span>${brief(step.input)}</span></li>`)}</ol>`}
      ${plan?.prompt === prompt && plan.error && html`<p class="unsaid">${unplaced.length
        ? html`Not understood without a model: ${unplaced.map((one, index) => html`${index > 0 && ", "}<q>${one.text}</q>`)}. Nothing would be done.`
        : plan.error.message}</p>`}
      ${first && !prompt && html`<p class="quiet">Or from a terminal: <code>curl ${location.origin}/runs -H 'content-type: application/json' -d '{"prompt": "${SENTENCES[1]}"}'</code>. What is there to be used: <a href="#/tools">tools</a>.</p>`}
      ${!prompt && html`<p class="quiet">${first ? "Nothing has been run yet. Click one of these:" : "Or one of these:"}</p>
        <ul class="sentences">${SENTENCES.map((sentence) =>
          html`<li><button onClick=${() => { write(sentence); start(sentence); }} disabled=${busy}>${sentence}</button></li>`)}</ul>`}
    </div>
  </section>`;
}
