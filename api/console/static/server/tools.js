// The tools that plans may use: what each takes and does, and a form to try those that change nothing.
import { call, post, useRead } from "../api.js";
import { counted, html, Select, Status, Table, typed, useOrder, useState, Value, Wrong } from "../words.js";
import { MOST, Outcome } from "../run/outcome.js";
import { Effects } from "../run/plan.js";

const typeOf = schema => (schema.enum?.map(one => JSON.stringify(one)) ?? (schema.anyOf ?? schema.oneOf)?.map(typeOf))?.join(" | ") ?? schema.type ?? (schema.$ref ?? "any").split("/").at(-1);

// What is typed for an input, as its schema has it: text as it is, all else as JSON.
function given(schema, text) {
  if (typeOf(schema) === "string") return text;
  try { return JSON.parse(text); } catch { return text; }
}

// So long a try is waited for, in s; then its run is there to be looked at.
const WAIT = 20;

function Try({ tool }) {
  const { properties = {}, required = [] } = tool.input_schema;
  const [texts, write] = useState({});
  const [record, show] = useState(null);
  const [order, wrong, busy] = useOrder();
  const send = async () => {
    show(null);
    const input = Object.fromEntries(Object.entries(texts).filter(([, text]) => text).map(([name, text]) => [name, given(properties[name], text)]));
    const { run_id } = await post(`tools/${encodeURIComponent(tool.name)}/call`, { input });
    await call(`runs/${run_id}/wait?timeout=${WAIT}`);
    show(await call(`runs/${run_id}?max_value_bytes=${MOST}`));
  };
  const field = name => {
    const schema = properties[name], needed = required.includes(name), value = texts[name] ?? "";
    const common = { required: needed, "aria-label": `${name} of ${tool.name}` }, put = text => write({ ...texts, [name]: text });
    return html`<label><span><code>${name}</code>${!needed && html` <small>optional</small>`}</span>
      ${schema.enum ? html`<${Select} ...${common} choose=${put} value=${value} options=${["", ...schema.enum].map(one => [String(one)])} />`
        : html`<input ...${common} onInput=${typed(put)} placeholder=${typeOf(schema)} value=${value} />`}</label>`;
  };
  return html`<form class="form try" onSubmit=${event => order(send, event)} aria-label="Try ${tool.name}">${Object.keys(properties).map(field)}
    <p class=row><button class=primary disabled=${busy}>Try it</button> <span class=quiet>It is recorded as a run of one step, and changes nothing.</span></p>${wrong}
    ${record && html`<div role=status><p><${Status} status=${record.status} /> <a href="#/runs/${record.run_id}">the run</a></p><${Outcome} record=${record} />
      ${record.result && html`<${Value} value=${record.result.output} href="runs/${record.run_id}/log/1/output" />`}</div>`}</form>`;
}

const DOUBT = { ask: "a person is asked", fail: "the run fails", retry: "it is called again" };

function Tool({ tool }) {
  const [open, turn] = useState(false);
  const { properties = {}, required = [] } = tool.input_schema;
  const inputs = Object.entries(properties);
  return html`<article class="card tool" aria-label=${tool.name}><h2><code>${tool.name}</code> <${Effects} tool=${tool} /></h2>
    <p class=prose>${tool.description}</p>
    <p class=quiet>${[
      tool.server ? `of the MCP server ${tool.server}` : tool.builtin ? "comes with Runwright" : "your own",
      !tool.effects ? "changes nothing" : tool.idempotent ? "a further call with the same key has no second effect" : `where it may have acted, ${DOUBT[tool.in_doubt] ?? "it is done as RUNWRIGHT_IN_DOUBT says"}`,
      tool.timeout && `at most ${tool.timeout} s`, tool.attempts && counted(tool.attempts, "attempt"),
    ].filter(Boolean).join(" · ")}</p>
    ${inputs[0] && html`<${Table} caption="Its input" head=${["Input", "Type", "What it is"]} rows=${inputs.map(([name, schema]) => [
      html`<code>${name}</code>${!required.includes(name) && html` <small>optional</small>`}`, html`<code>${typeOf(schema)}</code>`, schema.description])} />`}
    <p class=row><a href="#/?tool=${encodeURIComponent(tool.name)}">Its runs</a>
      ${tool.effects ? html`<span class=quiet>It changes something, so it is tried by a run only.</span>` : html`<button aria-expanded=${open} onClick=${() => turn(!open)}>Try …</button>`}</p>
    <details><summary>Its schema</summary><${Value} value=${tool.input_schema} /></details>
    ${open && html`<${Try} tool=${tool} />`}</article>`;
}

const KINDS = { all: () => true, "built-in": tool => tool.builtin, own: tool => !tool.builtin && !tool.server, MCP: tool => tool.server };

export default function Tools() {
  const [wanted, seek] = useState("");
  const [kind, choose] = useState("all");
  const [told, wrong] = useRead(() => call("tools"));
  const all = told?.tools ?? [];
  const found = all.filter(tool => KINDS[kind](tool) && `${tool.name} ${tool.description}`.toLowerCase().includes(wanted.toLowerCase()));
  return html`<div class=title><h1>Tools</h1>
      <div class=chips role=group aria-label=Kind>${Object.keys(KINDS).map(name => html`<button class=chip aria-pressed=${kind === name} onClick=${() => choose(name)}>${name} <b>${all.filter(KINDS[name]).length}</b></button>`)}</div>
      <input type=search aria-label="Search the tools" placeholder="Search the tools" data-key="/" value=${wanted} onInput=${typed(seek)} /></div>
    <${Wrong} problem=${wrong} />
    ${told && !found[0] && html`<p class=card>No tool matches.${kind !== "all" && html` <button class=plain onClick=${() => choose("all")}>Show all ${all.length}</button>`}</p>`}
    ${found.map(tool => html`<${Tool} key=${tool.name} tool=${tool} />`)}`;
}
