// The tools that plans may use: what each takes and does, and a form to try those that change nothing.
import { useEffect, useState } from "../vendor/hooks.mjs";
import { call } from "../api.js";
import { counted, html, Status, Table, Wrong } from "../words.js";
import { MOST, Outcome } from "../run/outcome.js";
import { Effects } from "../run/plan.js";

const typed = (schema) => schema.enum?.map((one) => JSON.stringify(one)).join(" | ") ?? schema.type ?? (schema.anyOf ?? schema.oneOf)?.map(typed).join(" | ") ?? (schema.$ref ?? "any").split("/").at(-1);

// What is typed for an input, as its schema has it: text as it is, all else as JSON.
function given(schema, text) {
  if (typed(schema) === "string") return text;
  try { return JSON.parse(text); } catch { return text; }
}

// So long a try is waited for, in s; then its run is there to be looked at.
const WAIT = 20;

function Try({ tool }) {
  const { properties = {}, required = [] } = tool.input_schema;
  const [texts, write] = useState({});
  const [record, show] = useState(null);
  const [busy, hold] = useState(false);
  const [wrong, tell] = useState(null);
  async function send(event) {
    event.preventDefault();
    hold(true);
    tell(null);
    show(null);
    const input = Object.fromEntries(Object.entries(texts).filter(([, text]) => text !== "").map(([name, text]) => [name, given(properties[name], text)]));
    try {
      const { run_id } = await call(`tools/${encodeURIComponent(tool.name)}/call`, { method: "POST", body: { input } });
      await call(`runs/${run_id}/wait?timeout=${WAIT}`);
      show(await call(`runs/${run_id}?max_value_bytes=${MOST}`));
    } catch (problem) { tell(problem); }
    hold(false);
  }
  const field = (name) => {
    const schema = properties[name], change = (event) => write({ ...texts, [name]: event.target.value });
    const common = { required: required.includes(name), "aria-label": `${name} of ${tool.name}`, onInput: change };
    return html`<label><span><code>${name}</code>${!required.includes(name) && html` <small>optional</small>`}</span>
      ${schema.enum ? html`<select ...${common} onChange=${change}><option value=""></option>${schema.enum.map((one) => html`<option selected=${texts[name] === String(one)}>${one}</option>`)}</select>`
        : html`<input ...${common} placeholder=${typed(schema)} value=${texts[name] ?? ""} />`}</label>`;
  };
  return html`<form class="form try" onSubmit=${send} aria-label=${`Try ${tool.name}`}>${Object.keys(properties).map(field)}
    <p class="row"><button class="primary" disabled=${busy}>Try it</button> <span class="quiet">It is recorded as a run of one step, and changes nothing.</span></p>
    <${Wrong} problem=${wrong} />
    ${record && html`<div role="status"><p><${Status} status=${record.status} /> <a href=${`#/runs/${record.run_id}`}>the run</a></p><${Outcome} record=${record} />
      ${record.result && html`<pre class="value" tabindex="0">${JSON.stringify(record.result.output, null, 2)}</pre>`}</div>`}</form>`;
}

const DOUBT = { ask: "a person is asked", fail: "the run fails", retry: "it is called again" };

function Tool({ tool }) {
  const [open, turn] = useState(false);
  const { properties = {}, required = [] } = tool.input_schema;
  const names = Object.keys(properties);
  return html`<article class="card tool" aria-label=${tool.name}><h2><code>${tool.name}</code> <${Effects} tool=${tool} /></h2>
    <p class="prose">${tool.description}</p>
    <p class="quiet">${[
      tool.server ? `of the MCP server ${tool.server}` : tool.builtin ? "comes with Runwright" : "your own",
      tool.effects ? (tool.idempotent ? "a further call with the same key has no second effect" : `where it may have acted, ${DOUBT[tool.in_doubt] ?? "it is done as RUNWRIGHT_IN_DOUBT says"}`) : "changes nothing",
      tool.timeout && `at most ${tool.timeout} s`, tool.attempts && counted(tool.attempts, "attempt"),
    ].filter(Boolean).join(" · ")}</p>
    ${names.length > 0 && html`<${Table} caption="Its input" head=${["Input", "Type", "What it is"]} rows=${names.map((name) => [
      html`<code>${name}</code>${!required.includes(name) && html` <small>optional</small>`}`, html`<code>${typed(properties[name])}</code>`, properties[name].description ?? ""])} />`}
    <p class="row"><a href=${`#/?tool=${encodeURIComponent(tool.name)}`}>Its runs</a>
      ${tool.effects ? html`<span class="quiet">It changes something, so it is tried by a run only.</span>` : html`<button aria-expanded=${open} onClick=${() => turn(!open)}>Try …</button>`}</p>
    <details><summary>Its schema</summary><pre class="value" tabindex="0">${JSON.stringify(tool.input_schema, null, 2)}</pre></details>
    ${open && html`<${Try} tool=${tool} />`}</article>`;
}

const KINDS = { all: () => true, "built-in": (tool) => tool.builtin, own: (tool) => !tool.builtin && !tool.server, MCP: (tool) => tool.server };

export default function Tools() {
  const [tools, show] = useState(null);
  const [wanted, seek] = useState("");
  const [kind, choose] = useState("all");
  const [wrong, tell] = useState(null);
  useEffect(() => { call("tools").then((told) => show(told.tools), tell); }, []);
  const all = tools ?? [];
  const found = all.filter((tool) => KINDS[kind](tool) && `${tool.name} ${tool.description}`.toLowerCase().includes(wanted.toLowerCase()));
  return html`<div class="title"><h1>Tools</h1>
      <div class="chips" role="group" aria-label="Kind">${Object.keys(KINDS).map((name) => html`<button class="chip" aria-pressed=${kind === name} onClick=${() => choose(name)}>${name} <b>${all.filter(KINDS[name]).length}</b></button>`)}</div>
      <input type="search" aria-label="Search the tools" placeholder="Search the tools" data-key="/" value=${wanted} onInput=${(event) => seek(event.target.value)} /></div>
    <${Wrong} problem=${wrong} />
    ${tools && !found.length && html`<p class="card">No tool matches.${kind !== "all" && html` <button class="plain" onClick=${() => choose("all")}>Show all ${all.length}</button>`}</p>`}
    ${found.map((tool) => html`<${Tool} key=${tool.name} tool=${tool} />`)}`;
}
