// The tools that plans may use, and a form to try those that change nothing.
import { button, call, counted, effectsOf, facts, Form, html, Opens, post, refusal, search, Select, stateOf, table, useRead, useState, valueOf } from "../words.js";
import { outcomeOf, recordOf } from "../run/outcome.js";

const typeOf = schema => (schema.enum?.map(one => JSON.stringify(one)) ?? (schema.anyOf ?? schema.oneOf)?.map(typeOf))?.join(" | ") ?? schema.type ?? (schema.$ref ?? "any").split("/").at(-1);

function given(schema, text) {
  if (typeOf(schema) === "string") return text;
  try { return JSON.parse(text); } catch { return text; }
}

const optional = (name, required) => html`<code>${name}</code>${!required.includes(name) && html` <small>optional</small>`}`;

function Try({ tool: { name: tool, input_schema: { properties = {}, required = [] } } }) {
  const [record, show] = useState(null);
  const send = async fields => {
    show(null);
    const input = Object.fromEntries(Object.entries(fields).map(([name, text]) => [name, given(properties[name], text)]));
    const { run_id } = await post(`tools/${encodeURIComponent(tool)}/call`, { input });
    await call(`runs/${run_id}/wait?timeout=20`); // s; then there is its run to be looked at
    show(await recordOf(run_id));
  };
  const field = ([name, schema]) => {
    const common = { name, required: required.includes(name), "aria-label": `${name} of ${tool}` };
    return html`<label><span>${optional(name, required)}</span>
      ${schema.enum ? html`<${Select} ...${common} options=${["", ...schema.enum].map(String)} />` : html`<input ...${common} placeholder=${typeOf(schema)} />`}</label>`;
  };
  return html`<${Form} class="form try" send=${send} aria-label="Try ${tool}" words="Try it"
      beside=${html`<span class=quiet>It is recorded as a run of one step, and changes nothing.</span>`}>${Object.entries(properties).map(field)}<//>
    ${record && html`<div role=status><p>${stateOf(record.status)} <a href="#/runs/${record.run_id}">the run</a></p>${outcomeOf(record)}
      ${record.result && valueOf(record.result.output, `runs/${record.run_id}/log/1/output`)}</div>`}`;
}

const DOUBT = { ask: "a person is asked", fail: "the run fails", retry: "it is called again" };

function cardOf(tool) {
  const { name, server, effects, timeout, attempts, input_schema: { properties = {}, required = [] } } = tool, inputs = Object.entries(properties);
  return html`<article key=${name} class="card tool" aria-label=${name}><h2><code>${name}</code> ${effectsOf(tool)}</h2>
    <p class=prose>${tool.description}</p>
    <p class=quiet>${facts(
      server ? `of the MCP server ${server}` : tool.builtin ? "comes with Runwright" : "your own",
      !effects ? "changes nothing" : tool.idempotent ? "a further call with the same key has no second effect" : `where it may have acted, ${DOUBT[tool.in_doubt] ?? "it is done as RUNWRIGHT_IN_DOUBT says"}`,
      timeout && `at most ${timeout} s`, attempts && counted(attempts, "attempt"))}</p>
    ${inputs[0] && table("Its input", ["Input", "Type", "What it is"], inputs.map(([name, schema]) => [optional(name, required), html`<code>${typeOf(schema)}</code>`, schema.description]))}
    <details><summary>Its schema</summary>${valueOf(tool.input_schema)}</details>
    <div class=row><a href="#/?tool=${encodeURIComponent(name)}">Its runs</a>
      ${effects ? html`<span class=quiet>It changes something, so it is tried by a run only.</span>` : html`<${Opens} words="Try …"><${Try} tool=${tool} /><//>`}</div></article>`;
}

const KINDS = { all: () => true, "built-in": tool => tool.builtin, own: tool => !tool.builtin && !tool.server, MCP: tool => tool.server };

export default function Tools() {
  const [wanted, seek] = useState(""), [kind, choose] = useState("all"), [told, wrong] = useRead("tools");
  const all = told?.tools ?? [];
  const found = all.filter(tool => KINDS[kind](tool) && `${tool.name} ${tool.description}`.toLowerCase().includes(wanted.toLowerCase()));
  return html`<div class=title><h1>Tools</h1>
      <div class=chips role=group aria-label=Kind>${Object.keys(KINDS).map(name => html`<button class=chip aria-pressed=${kind === name} onClick=${() => choose(name)}>${name} <b>${all.filter(KINDS[name]).length}</b></button>`)}</div>
      ${search("Search the tools", wanted, seek)}</div>
    ${refusal(wrong)}
    ${told && !found[0] && html`<p class=card>No tool matches. ${kind !== "all" && button(`Show all ${all.length}`, () => choose("all"), "plain")}</p>`}
    ${found.map(cardOf)}`;
}
