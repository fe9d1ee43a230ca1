// The runs: searched, filtered, counted, a page at a time, and changed where they lie.
import { call, followChanges, post, useRead } from "../api.js";
import { Check, counted, duration, html, isSettled, Key, Pages, Status, STATUSES, Table, Time, typed, useEffect, useOrder, useRef, useState, Wrong } from "../words.js";
import { Compose } from "./compose.js";

const posted = order => id => post(`runs/${id}/${order}`);

// What can be done with several at once, and with which of them.
const TOGETHER = {
  cancel: { may: run => !isSettled(run), said: "What is done stays done; what is under way is cut off.", send: posted("cancel") },
  retry: { may: run => ["failed", "cancelled"].includes(run.status), said: "Each goes on where it stopped; finished steps are not executed again.", send: posted("retry") },
  delete: { may: isSettled, said: "The records are removed for good. What the runs did, as to-dos, stays.", send: id => call(`runs/${id}`, { method: "DELETE" }) },
};

// What the address of the page may ask for, and what it is called where it finds nothing.
const ASKED = { status: "the status", text: "the words", tool: "the tool", min_retries: "retried", taken_up: "resumed after a restart" };

const askedOf = query => Object.keys(ASKED).filter(name => query.get(name));

function addressOf(query, cursor = "", limit = 50) {
  const asked = new URLSearchParams(askedOf(query).map(name => [name, query.get(name)]));
  if (cursor) asked.set("cursor", cursor);
  return `runs?limit=${limit}&${asked}`;
}

// The query with another value of `name`; none of it without a value.
function changed(query, name, value) {
  const next = new URLSearchParams(query);
  next.delete("prompt");
  value ? next.set(name, value) : next.delete(name);
  return next;
}

const hashOf = (...change) => `#/?${changed(...change)}`.replace(/\?$/, "");

function Filters({ query, counts }) {
  const total = counts && Object.values(counts).reduce((sum, count) => sum + count, 0);
  const chip = (status, count) => html`<a class="chip ${status && `s-${status}`}" href=${hashOf(query, "status", status)}
    aria-current=${(query.get("status") ?? "") === status ? "true" : null}>${status && html`<span aria-hidden=true>${STATUSES[status]}</span>`} ${status || "all"}${count != null && html` <b>${count}</b>`}</a>`;
  const check = (name, value, words) => html`<${Check} on=${query.get(name)} turn=${on => { location.hash = hashOf(query, name, on && value); }}>${words}<//>`;
  const tool = query.get("tool");
  return html`<div class=filters>
    <div class=chips role=group aria-label=Status>${chip("", total)}${Object.keys(STATUSES).map(status => chip(status, counts?.[status]))}</div>
    ${check("min_retries", "1", "with retries")}${check("taken_up", "true", "resumed")}
    ${tool && html`<a class=chip href=${hashOf(query, "tool")} aria-label="Drop the filter: the tool ${tool}">${tool} ✕</a>`}
    <form role=search onSubmit=${event => event.preventDefault()}>
      <input type=search aria-label="Search the prompts" placeholder="Search the prompts" data-key="/" value=${query.get("text") ?? ""}
        onInput=${typed(text => location.replace(hashOf(query, "text", /[\p{L}\p{N}]/u.test(text) && text)))} />
    </form></div>`;
}

function Several({ runs, chosen, choose, reload }) {
  const [asked, ask] = useState(null);
  const [told, tell] = useState("");
  const [order, , busy] = useOrder();
  const all = runs.filter(run => chosen.has(run.run_id));
  const select = ids => choose(new Set(ids));
  const carryOut = async () => {
    const { may, send } = TOGETHER[asked], due = all.filter(may);
    let done = 0, last = "";
    for (const run of due) await send(run.run_id).then(() => (done += 1), problem => (last = problem.message));
    tell(`${asked}: ${done} of ${due.length} done. ${last}`);
    ask(null);
    select([]);
    reload();
  };
  if (!all.length) return told && html`<p class=several role=status>${told}</p>`;
  return html`<div class="several card" role=group aria-label="With the selected runs">
    <b>${counted(all.length, "run")} selected</b>
    ${Object.keys(TOGETHER).map(name => {
      const count = all.filter(TOGETHER[name].may).length;
      return html`<button disabled=${!count} aria-expanded=${asked === name} onClick=${() => ask(name)}>${name[0].toUpperCase() + name.slice(1)} ${count}</button>`;
    })}
    ${all.length < runs.length && html`<button class=plain onClick=${() => select(runs.map(run => run.run_id))}>Select all ${runs.length}</button>`}
    <button class=plain onClick=${() => select([])}>Select none</button>
    ${asked && html`<p>${TOGETHER[asked].said} <button class=primary disabled=${busy} onClick=${() => order(carryOut)}>Yes, ${asked} them</button>
      <button class=plain onClick=${() => ask(null)}>No</button></p>`}
  </div>`;
}

// Which filter to drop where nothing is found, and how many runs it hides.
function Nothing({ query }) {
  const [hidden, count] = useState({});
  const asked = askedOf(query);
  useEffect(() => {
    for (const name of asked) call(addressOf(changed(query, name), "", 1)).then(({ total }) => count(before => ({ ...before, [name]: total })), () => {});
  }, [query.toString()]);
  return html`<div class=card><p>No run matches.</p><ul class=plain-list>${asked.map(name => html`<li><a href=${hashOf(query, name)}>Without ${ASKED[name]}${ASKED[name].startsWith("the") && html` <q>${query.get(name)}</q>`}</a>${hidden[name] >= 0 && `: ${counted(hidden[name], "run")}`}</li>`)}
    <li><a href="#/">Show all runs</a></li></ul></div>`;
}

function Row({ run, picked, pick, current }) {
  const row = useRef();
  useEffect(() => { if (current) row.current.querySelector("a").focus(); }, [current]);
  const href = `#/runs/${run.run_id}`, open = ({ target }) => { if (!target.closest("a, input")) location.hash = href; };
  return html`<tr ref=${row} class=${current && "current"} onClick=${open}>
    <td class=pick><input type=checkbox aria-label="Select: ${run.prompt.slice(0, 60)}" checked=${picked} onChange=${pick} /></td>
    <td class=what><a href=${href}>${run.prompt}</a></td>
    <td><${Status} status=${run.status} /></td>
    <td class="quiet tools">${run.tools.join(", ")}</td>
    <td class=number>${run.retries > 0 && html`<span title="attempts after the first">↻${run.retries}</span>`}${" "}${run.taken_up > 0 && html`<span title="taken up again after its server had ended">⚡${run.taken_up}</span>`}</td>
    <td class=number>${run.progress && !isSettled(run) ? `${run.progress.done}/${run.progress.of ?? "?"}` : duration(run.duration_ms)}</td>
    <td class="number quiet"><${Time} time=${run.created_at} /></td>
  </tr>`;
}

export default function Runs({ query }) {
  const [cursors, turn] = useState([]);
  const [chosen, choose] = useState(new Set());
  const [row, move] = useState(-1);
  const asked = addressOf(query), address = addressOf(query, cursors.at(-1));
  const [page, wrong, reload, change] = useRead(() => call(address), address);
  useEffect(() => turn([]), [asked]);
  useEffect(() => move(-1), [address]);
  useEffect(() => followChanges(reload, changed => change(before => ({
    ...before, runs: before.runs.map(run => run.run_id === changed.run_id ? { ...run, ...changed } : run),
  }))), []);
  const runs = page?.runs ?? [];
  const step = by => move(now => Math.max(0, Math.min(runs.length - 1, now + by)));
  const toggle = id => choose(before => { const after = new Set(before); after.delete(id) || after.add(id); return after; });
  const empty = page && !runs.length, filtered = askedOf(query).length > 0;
  return html`
    <h1 class=hidden>Runs</h1>
    <${Compose} key=${query.get("prompt")} first=${empty && !filtered} given=${query.get("prompt")} />
    <${Filters} query=${query} counts=${page?.counts} />
    <${Wrong} problem=${wrong} />
    <${Several} runs=${runs} chosen=${chosen} choose=${choose} reload=${reload} />
    ${empty && filtered && html`<${Nothing} query=${query} />`}
    ${runs[0] && html`<${Table} kind=runs caption="Runs, the newest first" head=${[".Selected", "Run", "Status", "Tools", "#Again", "#Took", "#Accepted"]}
      rows=${runs.map((run, index) => html`<${Row} key=${run.run_id} run=${run} current=${index === row} picked=${chosen.has(run.run_id)} pick=${() => toggle(run.run_id)} />`)} />`}
    <${Pages} of=runs cursors=${cursors} turn=${turn} next=${page?.next_cursor}>
      ${page && html`<span class=quiet>${page.total_is_lower_bound && "at least "}${counted(page.total, "run")}</span>`}
      <${Key} of=j does=${() => step(1)}>Next row<//><${Key} of=k does=${() => step(-1)}>Previous row<//><//>`;
}
