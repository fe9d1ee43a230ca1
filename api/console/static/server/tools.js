// The tools that plans may use.
import { useEffect, useState } from "../vendor/hooks.mjs";
import { call } from "../api.js";
import { counted, html, Table, Wrong } from "../words.js";
import { Effects } from "../run/plan.js";

const typed = (schema) => schema.enum?.map((one) => JSON.stringify(one)).join(" | ") ?? schema.type ?? (schema.anyOf ?? schema.oneOf)?.map(typed).join(" | ") ?? (schema.$ref ?? "any").split("/").at(-1);

function Tool({ tool }) {
  const { properties = {}, required = [] } = tool.input_schema;
  const names = Object.keys(properties);
  return html`<article class="card tool" aria-label=${tool.name}><h2><code>${tool.name}</code> <${Effects} tool=${tool} /></h2>
    <p class="prose">${tool.description}</p>
    <p class="quiet">${[
      tool.server && `of the MCP server ${tool.server}`,
      tool.effects ? (tool.idempotent ? "a further call with the same key has no second effect" : "never called again where it may have acted") : "changes nothing",
      tool.timeout && `at most ${tool.timeout} s`, tool.attempts && counted(tool.attempts, "attempt"),
    ].filter(Boolean).join(" · ")}</p>
    ${names.length > 0 && html`<${Table} caption="Its input" head=${["Input", "Type", "What it is"]} rows=${names.map((name) => [
      html`<code>${name}</code>${!required.includes(name) && html` <small>optional</small>`}`, html`<code>${typed(properties[name])}</code>`, properties[name].description ?? ""])} />`}
    <p><a href=${`#/?tool=${encodeURIComponent(tool.name)}`}>Its runs</a></p></article>`;
}

export default function Tools() {
  const [tools, show] = useState(null);
  const [wanted, seek] = useState("");
  const [wrong, tell] = useState(null);
  useEffect(() => { call("tools").then((told) => show(told.tools), tell); }, []);
  const found = (tools ?? []).filter((tool) => `${tool.name} ${tool.description}`.toLowerCase().includes(wanted.toLowerCase()));
  return html`<div class="title"><h1>Tools</h1><span class="quiet">${tools && counted(found.length, "tool")}</span>
      <input type="search" aria-label="Search the tools" placeholder="Search the tools" data-key="/" value=${wanted} onInput=${(event) => seek(event.target.value)} /></div>
    <${Wrong} problem=${wrong} />
    ${found.map((tool) => html`<${Tool} key=${tool.name} tool=${tool} />`)}`;
}
