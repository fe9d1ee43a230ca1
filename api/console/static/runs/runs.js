// The runs, and a new one, whose plan appears while one types.
import { button, call, check, counted, duration, Form, hotkey, html, isSettled, listed, Opens, pieces, planned, post, refusal, search, sends, stateOf, STATUSES, table, timeOf, typed, useEffect, usePages, useRested, useState, walk } from "../words.js";

const SENTENCES = [
  "Add a todo to buy milk, then show me all my tasks",
  "what is (41*7)+13",
  "Calculate 42 * 8 and add the result as a task",
  "what's the capital of France, and add a todo to visit it",
];

// No model is asked while one types: with this budget the pattern planner plans.
const FREE = { tokens: 0 };

function Compose({ first, given }) {
  const [prompt, write] = useState(given ?? "");
  const plan = useRested(prompt.trim() && prompt, signal => post("plan", { prompt, budget: FREE }, { signal }));
  useEffect(() => { if (given !== null) document.getElementById("prompt").focus(); }, []);
  const start = async fields => {
    write(fields.prompt);
    location.hash = `#/runs/${(await post("runs", fields)).run_id}`;
  };
  const unplaced = plan?.error?.unparsed ?? [], steps = plan?.steps ?? [];
  return html`<section class="compose card" aria-label="A new run"><${Form} id=new send=${start} words=Run
      beside=${html`<label class=check><input type=checkbox name=mode value=plan /> show me the plan first</label>
        <span class="quiet keyhint">Enter runs it, Shift+Enter is a new line</span>`}>
      <label for=prompt>What should be done?</label>
      <div class=paper>
        <div class=under aria-hidden=true>${pieces(prompt, [...unplaced, ...steps]).map(({ text, over }) => html`<span class=${over[0] && (over.every(({ step }) => step) ? "placed" : "unplaced")}>${text}</span>`)}${" "}</div>
        <textarea id=prompt name=prompt required rows=1 data-key=n autofocus value=${prompt} spellcheck=${false} aria-describedby=preview placeholder="In your own words"
          onInput=${typed(write)} onKeyDown=${sends}></textarea>
      </div><//>
    <div id=preview class=preview aria-live=polite>
      ${steps[0] && planned(steps)}
      ${plan?.error && html`<p class=wrong>${unplaced[0]
        ? html`Not understood without a model: ${listed(unplaced, ({ text }) => html`<q>${text}</q>`)}. Nothing would be done.` : plan.error.message}</p>`}
      ${!prompt && html`${first && html`<p class=quiet>Or from a terminal: <code>curl ${location.origin}/runs -H 'content-type: application/json' -d '{"prompt": "${SENTENCES[1]}"}'</code>. What is there to be used: <a href="#/tools">tools</a>.</p>`}
        <p class=quiet>${first ? "Nothing has been run yet. Click one of these:" : "Or one of these:"}</p>
        <ul class=sentences>${SENTENCES.map(one => html`<li><button form=new name=prompt value=${one} formnovalidate>${one}</button></li>`)}</ul>`}
    </div>
  </section>`;
}

// The query of the page, which is the one of the list, with another value of `name`, or none.
function changed(query, name, value) {
  const next = new URLSearchParams(query);
  next.delete("prompt"); // which is of a new run
  value ? next.set(name, value) : next.delete(name);
  return next;
}

const hashOf = (...change) => `#/?${changed(...change)}`.replace(/\?$/, "");

function filters(query, counts) {
  const total = counts && Object.values(counts).reduce((sum, count) => sum + count, 0), tool = query.get("tool");
  const chip = (status, glyph, count) => html`<a class="chip ${status && `s-${status}`}" href=${hashOf(query, "status", status)}
    aria-current=${(query.get("status") ?? "") === status ? "true" : null}><span aria-hidden=true>${glyph}</span> ${status || "all"}${count != null && html` <b>${count}</b>`}</a>`;
  const only = (name, value, words) => check(query.get(name), on => { location.hash = hashOf(query, name, on && value); }, words);
  return html`<div class=filters>
    <div class=chips role=group aria-label=Status>${chip("", "", total)}${Object.entries(STATUSES).map(([status, glyph]) => chip(status, glyph, counts?.[status]))}</div>
    ${only("min_retries", "1", "with retries")}${only("taken_up", "true", "resumed")}
    ${tool && html`<a class=chip href=${hashOf(query, "tool")} aria-label="Drop the filter: the tool ${tool}">${tool} ✕</a>`}
    <search>${search("Search the prompts", query.get("text") ?? "", text => location.replace(hashOf(query, "text", /[\p{L}\p{N}]/u.test(text) && text)))}</search></div>`;
}

const FILTERS = { min_retries: "retried", taken_up: "resumed after a restart" };

function Nothing({ query, asked }) {
  const [hidden, count] = useState({});
  useEffect(() => {
    for (const name of asked) call(`runs?limit=1&${changed(query, name)}`).then(({ total }) => count(before => ({ ...before, [name]: `: ${counted(total, "run")}` })), () => {});
  }, [query.toString()]);
  return html`<div class=card><p>No run matches.</p><ul class=plain-list>${asked.map(name => html`<li><a href=${hashOf(query, name)}>Without ${FILTERS[name] ?? html`the ${name} <q>${query.get(name)}</q>`}</a>${hidden[name]}</li>`)}
    <li><a href="#/">Show all runs</a></li></ul></div>`;
}

const order = (name, method) => run_id => call(`runs/${run_id}${name}`, { method });

const TOGETHER = [
  ["Cancel", order("/cancel", "POST"), run => !isSettled(run), "What is done stays done; what is under way is cut off."],
  ["Retry", order("/retry", "POST"), run => ["failed", "cancelled"].includes(run.status), "Each goes on where it stopped; finished steps are not executed again."],
  ["Delete", order("", "DELETE"), isSettled, "The records are removed for good. What the runs did, as to-dos, stays."],
];

function Several({ runs, chosen, choose, reload }) {
  const [told, tell] = useState(""), all = runs.filter(run => chosen.includes(run.run_id));
  const select = runs => choose(runs.map(run => run.run_id));
  const carryOut = async (name, send, due) => {
    let done = 0, last = "";
    for (const run of due) await send(run.run_id).then(() => (done += 1), problem => (last = problem.message));
    tell(`${name}: ${done} of ${due.length} done. ${last}`);
    select([]);
    reload();
  };
  if (!all.length) return told && html`<p class=several role=status>${told}</p>`;
  return html`<div class="several card" role=group aria-label="With the selected runs">
    <b>${counted(all.length, "run")} selected</b>
    ${TOGETHER.map(([words, send, may, said]) => {
      const due = all.filter(may), name = words.toLowerCase();
      return html`<${Opens} words="${words} ${due.length}" disabled=${!due.length}><${Form} class=row send=${() => carryOut(name, send, due)} words="Yes, ${name} them">${said}<//><//>`;
    })}
    ${all.length < runs.length && button(`Select all ${runs.length}`, () => select(runs), "plain")}
    ${button("Select none", () => select([]), "plain")}</div>`;
}

const cells = ({ run_id, prompt, status, tools, retries, taken_up, duration_ms, created_at }, progress, chosen, choose) => [
  html`<input key=${run_id} type=checkbox aria-label="Select: ${prompt.slice(0, 60)}" checked=${chosen.includes(run_id)}
    onChange=${() => choose(before => before.includes(run_id) ? before.filter(one => one !== run_id) : [...before, run_id])} />`,
  html`<span class=what><a href="#/runs/${run_id}">${prompt}</a></span>`,
  stateOf(status), html`<span class=quiet>${tools.join(", ")}</span>`,
  html`${retries > 0 && html`<span title="attempts after the first">↻${retries}</span>`}${" "}${taken_up > 0 && html`<span title="taken up again after its server had ended">⚡${taken_up}</span>`}`,
  progress && !isSettled({ status }) ? `${progress.done}/${progress.of ?? "?"}` : duration(duration_ms), timeOf(created_at),
];

const open = ({ target }) => !target.closest("a, input") && target.closest("tbody tr")?.querySelector("a").click();

export default function Runs({ query }) {
  const filter = changed(query), asked = [...filter.keys()];
  const [chosen, choose] = useState([]), [page, wrong, nav, reload, heard] = usePages(`runs?limit=50&${filter}`, "runs");
  const { runs = [], counts, total, total_is_lower_bound } = page ?? {};
  const empty = page && !runs.length, step = by => () => walk(".runs .what a", by);
  return html`
    <h1 class=hidden>Runs</h1>
    <${Compose} key=${query.get("prompt")} first=${empty && !asked[0]} given=${query.get("prompt")} />
    ${filters(query, counts)}${refusal(wrong)}
    <${Several} runs=${runs} chosen=${chosen} choose=${choose} reload=${reload} />
    ${empty && asked[0] && html`<${Nothing} query=${query} asked=${asked} />`}
    ${runs[0] && html`<div onClick=${open}>${table("Runs, the newest first", [".Selected", "Run", "Status", "Tools", "#Again", "#Took", "#Accepted"], runs.map(run => cells(run, heard[run.run_id], chosen, choose)), "runs")}</div>`}
    ${nav(page && `${total_is_lower_bound ? "at least " : ""}${counted(total, "run")}`)}
    ${hotkey("j", step(1), "Next row")}${hotkey("k", step(-1), "Previous row")}`;
}
