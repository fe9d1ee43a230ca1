// A new run: the plan appears while one types, and what no planner can place is underlined.
import { post, useRested } from "../api.js";
import { brief, Check, entered, html, listed, pieces, Step, typed, useEffect, useOrder, useState } from "../words.js";

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
  const [approve, ask] = useState(false);
  const [order, wrong, busy] = useOrder();
  const plan = useRested(prompt.trim() && prompt, REST, signal => post("plan", { prompt, budget: FREE }, { signal }));

  // Where the address asks for one, it is to be written now.
  useEffect(() => { if (given !== null) document.getElementById("prompt").focus(); }, []);

  const start = (event, text = prompt) => text.trim() && !busy && order(async () => {
    const run = await post("runs", { prompt: text, mode: approve ? "plan" : "execute" });
    location.hash = `#/runs/${run.run_id}`;
  }, event);
  const unplaced = plan?.error?.unparsed ?? [], steps = plan?.steps ?? [];
  const marked = pieces(prompt, [...unplaced.map(({ span }) => ({ span, kind: "unplaced" })), ...steps]);
  return html`<section class="compose card" aria-label="A new run">
    <form onSubmit=${start}>
      <label for=prompt>What should be done?</label>
      <div class=paper>
        <div class=under aria-hidden=true>${marked.map(({ text, over }) => html`<span class=${over[0] && (over.find(one => one.kind)?.kind ?? "placed")}>${text}</span>`)}${" "}</div>
        <textarea id=prompt rows=1 data-key=n autofocus value=${prompt} spellcheck=${false} aria-describedby=preview placeholder="In your own words"
          onInput=${typed(write)} onKeyDown=${entered(start)}></textarea>
      </div>
      <div class=row>
        <button class=primary disabled=${busy || !prompt.trim()}>Run</button>
        <${Check} on=${approve} turn=${ask}>show me the plan first<//>
        <span class="quiet keyhint">Enter runs it, Shift+Enter is a new line</span>
      </div>${wrong}
    </form>
    <div id=preview class=preview aria-live=polite>
      ${steps[0] && html`<ol class=plan>${steps.map(step => html`<li><${Step} of=${step.step} tool=${step.tool} /> <span>${brief(step.input)}</span></li>`)}</ol>`}
      ${plan?.error && html`<p class=unsaid>${unplaced[0]
        ? html`Not understood without a model: ${listed(unplaced, ({ text }) => html`<q>${text}</q>`)}. Nothing would be done.` : plan.error.message}</p>`}
      ${!prompt && html`${first && html`<p class=quiet>Or from a terminal: <code>curl ${location.origin}/runs -H 'content-type: application/json' -d '{"prompt": "${SENTENCES[1]}"}'</code>. What is there to be used: <a href="#/tools">tools</a>.</p>`}
        <p class=quiet>${first ? "Nothing has been run yet. Click one of these:" : "Or one of these:"}</p>
        <ul class=sentences>${SENTENCES.map(sentence => html`<li><button onClick=${event => { write(sentence); start(event, sentence); }} disabled=${busy}>${sentence}</button></li>`)}</ul>`}
    </div>
  </section>`;
}
