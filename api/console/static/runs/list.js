// The runs: searched, filtered, counted, a page at a time, and changed where they lie.
import { useEffect, useRef, useState } from "../vendor/hooks.mjs";
import { call, follow, useReading } from "../api.js";
import { counted, duration, html, SETTLED, Status, STATUSES, Table, Time, Wrong } from "../words.js";
import { Compose } from "./compose.js";

// Changes that come close together are read once, in ms.
const PAUSE = 250;

const post = (order) => (id) => call(`runs/${id}/${order}`, { method: "POST" });

// What can be done with several at once, and with which of them.
const TOGETHER = {
  cancel: { may: (run) => !SETTLED.has(run.status), said: "What is done stays done; what is under way is cut off.", send: post("cancel") },
  retry: { may: (run) => ["failed", "cancelled"].includes(run.status), said: "Each goes on where it stopped; finished steps are not executed again.", send: post("retry") },
  delete: { may: (run) => SETTLED.has(run.status), said: "The records are removed for good. What the runs did, as to-dos, stays.", send: (id) => call(`runs/${id}`, { method: "DELETE" }) },
};

// What the address of the page may ask for, and what it is called where it finds nothing.
const ASKED = { status: "the status", text: "the words", tool: "the tool", min_retries: "retried", taken_up: "resumed after a restart" };

const askedOf = (query) => Object.keys(ASKED).filter((name) => query.get(name));

function addressOf(query, cursor) {
  const asked = new URLSearchParams(askedOf(query).map((name) => [name, query.get(name)]));
  if (cursor) asked.set("cursor", cursor);
  return `runs?limit=50&${asked}`;
}

function hashOf(query, changes) {
  const next = new URLSearchParams(query);
  next.delete("prompt");
  for (const [name, value] of Object.entries(changes)) value ? next.set(name, value) : next.delete(name);
  return `#/${next.size ? `?${next}` : ""}`;
}

function Filters({ query, page }) {
  const chosen = query.get("status") ?? "";
  const counts = page?.counts;
  const total = counts && Object.values(counts).reduce((sum, count) => sum + count, 0);
  const chip = (status, count) => html`<a class=${`chip ${status && `s-${status}`}`} href=${hashOf(query, { status })}
    aria-current=${chosen === status ? "true" : undefined}>
    ${status && html`<span aria-hidden="true">${STATUSES[status]}</span>`} ${status || "all"}
    ${count != null && html` <b>${count}</b>`}</a>`;
  return html`<div class="filters">
    <div class="chips" role="group" aria-label="Status">${chip("", total)}${Object.keys(STATUSES).map((status) => chip(status, counts?.[status]))}</div>
    <label class="check"><input type="checkbox" checked=${query.get("min_retries")} onChange=${({ target }) => { location.hash = hashOf(query, { min_retries: target.checked && "1" }); }} /> with retries</label>
    <label class="check"><input type="checkbox" checked=${query.get("taken_up")} onChange=${({ target }) => { location.hash = hashOf(query, { taken_up: target.checked && "true" }); }} /> resumed</label>
    ${query.get("tool") && html`<a class="chip" href=${hashOf(query, { tool: "" })} aria-label="Drop the filter: the tool ${query.get("tool")}">${query.get("tool")} ✕</a>`}
    <form role="search" onSubmit=${(event) => event.preventDefault()}>
      <input type="search" aria-label="Search the prompts" placeholder="Search the prompts" data-key="/" value=${query.get("text") ?? ""}
        onInput=${({ target: { value } }) => location.replace(hashOf(query, { text: /[\p{L}\p{N}]/u.test(value) ? value : "" }))} />
    </form></div>`;
}

function Several({ runs, chosen, choose, reload }) {
  const [asked, ask] = useState(null);
  const [told, tell] = useState("");
  const all = runs.filter((run) => chosen.has(run.run_id));
  async function carryOut() {
    const { may, send } = TOGETHER[asked];
    const due = all.filter(may);
    let done = 0, last = "";
    for (const run of due) await send(run.run_id).then(() => (done += 1), (problem) => (last = problem.message));
    tell(`${asked}: ${done} of ${due.length} done.${last && ` ${last}`}`);
    ask(null);
    choose(new Set());
    reload();
  }
  if (!all.length) return told && html`<p class="several" role="status">${told}</p>`;
  return html`<div class="several card" role="group" aria-label="With the selected runs">
    <b>${counted(all.length, "run")} selected</b>
    ${Object.keys(TOGETHER).map((name) => {
      const count = all.filter(TOGETHER[name].may).length;
      return html`<button disabled=${!count} aria-expanded=${asked === name} onClick=${() => ask(name)}>${name[0].toUpperCase() + name.slice(1)} ${count}</button>`;
    })}
    ${all.length < runs.length && html`<button class="plain" onClick=${() => choose(new Set(runs.map((run) => run.run_id)))}>Select all ${runs.length}</button>`}
    <button class="plain" onClick=${() => choose(new Set())}>Select none</button>
    ${asked && html`<p>${TOGETHER[asked].said} <button class="primary" onClick=${carryOut}>Yes, ${asked} them</button>
      <button class="plain" onClick=${() => ask(null)}>No</button></p>`}
  </div>`;
}

// Which filter to drop where nothing is found, and how many runs it hides.
function Nothing({ query }) {
  const [hidden, count] = useState({});
  const asked = askedOf(query);
  const without = (name) => { const rest = new URLSearchParams(query); rest.delete(name); return rest; };
  useEffect(() => {
    for (const name of asked) call(addressOf(without(name)).replace("limit=50", "limit=1")).then((page) => count((before) => ({ ...before, [name]: page.total })), () => {});
  }, [query.toString()]);
  return html`<div class="card"><p>No run matches.</p><ul class="plain-list">${asked.map((name) => html`<li><a href=${hashOf(query, { [name]: "" })}>Without ${ASKED[name]}${["text", "tool", "status"].includes(name) && html` <q>${query.get(name)}</q>`}</a>${hidden[name] !== undefined && html`: ${counted(hidden[name], "run")}`}</li>`)}
    <li><a href="#/">Show all runs</a></li></ul></div>`;
}

function Row({ run, picked, pick, current }) {
  const row = useRef();
  useEffect(() => { if (current) row.current.querySelector("a").focus(); }, [current]);
  const open = () => { location.hash = `#/runs/${run.run_id}`; };
  return html`<tr ref=${row} class=${current ? "current" : ""} onClick=${(event) => !event.target.closest("a, input") && open()}>
    <td class="pick"><input type="checkbox" aria-label=${`Select: ${run.prompt.slice(0, 60)}`} checked=${picked} onChange=${pick} /></td>
    <td class="what"><a href=${`#/runs/${run.run_id}`}>${run.prompt}</a></td>
    <td><${Status} status=${run.status} /></td>
    <td class="quiet tools">${run.tools.join(", ")}</td>
    <td class="number">${run.retries > 0 && html`<span title="attempts after the first">↻${run.retries}</span>`}${" "}${run.taken_up > 0 && html`<span title="taken up again after its server had ended">⚡${run.taken_up}</span>`}</td>
    <td class="number">${run.progress && !SETTLED.has(run.status) ? html`${run.progress.done}/${run.progress.of ?? "?"}` : duration(run.duration_ms)}</td>
    <td class="number quiet"><${Time} time=${run.created_at} /></td>
  </tr>`;
}

export function Runs({ query }) {
  const [page, show] = useState(null);
  const [wrong, tell] = useState(null);
  const [cursors, turn] = useState([]);
  const [chosen, choose] = useState(new Set());
  const [row, move] = useState(-1);
  const asked = addressOf(query);
  const cursor = cursors.at(-1);
  const address = useRef();
  const reload = useReading(async () => {
    try {
      const wanted = address.current, told = await call(wanted);
      if (wanted === address.current) { show(told); tell(null); }
    } catch (problem) { tell(problem); }
  });
  useEffect(() => turn([]), [asked]);
  useEffect(() => {
    address.current = addressOf(query, cursor);
    move(-1);
    reload();
  }, [asked, cursor]);
  useEffect(() => {
    let timer;
    const later = () => { clearTimeout(timer); timer = setTimeout(reload, PAUSE); };
    const stop = follow(() => "runs/stream", ["run.changed"], (type, change) => {
      if (type === "run.changed") {
        show((before) => before && { ...before, runs: before.runs.map((run) => (run.run_id === change.run_id ? { ...run, ...change } : run)) });
      }
      later();
    });
    return () => { clearTimeout(timer); stop(); };
  }, []);
  const runs = page?.runs ?? [];
  const step = (by) => move((now) => Math.max(0, Math.min(runs.length - 1, now + by)));
  const toggle = (id) => choose((before) => { const after = new Set(before); after.delete(id) || after.add(id); return after; });
  const empty = page && !runs.length, filtered = askedOf(query).length > 0;
  return html`
    <h1 class="hidden">Runs</h1>
    <${Compose} key=${query.get("prompt")} first=${empty && !filtered} given=${query.get("prompt")} />
    <${Filters} query=${query} page=${page} />
    <${Wrong} problem=${wrong} />
    <${Several} runs=${runs} chosen=${chosen} choose=${choose} reload=${reload} />
    ${empty && filtered && html`<${Nothing} query=${query} />`}
    ${runs.length > 0 && html`<${Table} kind="runs" caption="Runs, the newest first" head=${[".Selected", "Run", "Status", "Tools", "#Again", "#Took", "#Accepted"]}
      rows=${runs.map((run, index) => html`<${Row} key=${run.run_id} run=${run} current=${index === row} picked=${chosen.has(run.run_id)} pick=${() => toggle(run.run_id)} />`)} />`}
    <nav class="pages" aria-label="Pages of runs">
      ${page && html`<span class="quiet">${page.total_is_lower_bound ? "at least " : ""}${counted(page.total, "run")}</span>`}
      ${cursors.length > 0 && html`<button onClick=${() => turn(cursors.slice(0, -1))}>Newer</button>`}
      ${page?.next_cursor && html`<button onClick=${() => turn([...cursors, page.next_cursor])}>Older</button>`}
      <button class="hidden" tabindex="-1" data-key="j" onClick=${() => step(1)}>Next row</button>
      <button class="hidden" tabindex="-1" data-key="k" onClick=${() => step(-1)}>Previous row</button>
    </nav>`;
}
