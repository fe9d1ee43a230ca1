// How the server does: its storage, queue, models, MCP servers and the caller's budget.
import { useEffect, useState } from "../vendor/hooks.mjs";
import { call } from "../api.js";
import { html, moment, money, size, Status, Table, Wrong } from "../words.js";

// Nothing pushes these; they are read so often while somebody looks, in ms.
const EVERY = 5000;

const MARKS = { ok: "ok", warning: "in_doubt", fails: "failed" };

const State = ({ good, children }) => html`<span class=${`status s-${good ? "completed" : "failed"}`}><span aria-hidden="true">${good ? "✓" : "✕"}</span> ${children}</span>`;

const Card = ({ title, children }) => html`<section class="card" aria-label=${title}><h2>${title}</h2>${children}</section>`;

// What doctor found and what the server is set to: read once, since nothing of it changes often.
function Doctor() {
  const [told, show] = useState(null);
  const [wrong, tell] = useState(null);
  const [all, turn] = useState(false);
  const read = () => call("doctor").then((found) => { show(found); tell(null); }, tell);
  useEffect(() => { read(); }, []);
  if (!told) return html`<${Wrong} problem=${wrong} />`;
  const shown = told.settings.filter((one) => all || one.given);
  return html`<${Card} title="Doctor"><p><${State} good=${told.ok}>${told.ok ? "nothing fails" : "something fails"}<//> <button class="plain" onClick=${read}>Look again</button></p>
      <${Table} caption="What was found" head=${["Check", "How", "What that says"]} rows=${told.checks.map((one) => [one.check, html`<${Status} status=${MARKS[one.status]} />`, one.message])} />
      <p class="quiet"><code>runwright doctor</code> opens everything anew, and asks models with <code>--call-models</code>.</p><//>
    <${Card} title="Settings"><label class="check"><input type="checkbox" checked=${all} onChange=${(event) => turn(event.target.checked)} /> those with their defaults, too</label>
      ${shown.length ? html`<${Table} caption="Settings" head=${["Setting", "Value", "What it is"]} rows=${shown.map((one) => [html`<code>${one.name}</code>`, one.value === null ? (one.given ? html`<span class="quiet">set, not shown</span>` : "none") : String(one.value), one.description])} />` : html`<p>All have their defaults.</p>`}
      <p class="quiet">Texts and lists are not shown: they may hold names, places and keys.</p><//>`;
}

const Figures = ({ figures }) => html`<dl class="figures">${figures.filter(([, figure]) => figure !== undefined).map(([name, figure]) => html`<div><dt>${name}</dt><dd class="number">${figure ?? "no limit"}</dd></div>`)}</dl>`;

export default function Health() {
  const [told, show] = useState(null);
  const [wrong, tell] = useState(null);
  useEffect(() => {
    let timer;
    const read = () => Promise.all([call("health"), call("budget")]).then(([health, budget]) => { show({ health, budget }); tell(null); }, tell)
      .finally(() => { timer = setTimeout(read, EVERY); });
    read();
    return () => clearTimeout(timer);
  }, []);
  if (!told) return html`<${Wrong} problem=${wrong} />`;
  const { health, budget } = told;
  const runs = health.runs, models = Object.entries(health.models), servers = Object.entries(health.servers);
  return html`<div class="title"><h1>Health</h1><${State} good=${!wrong && health.status === "ok"}>${wrong ? "no answer" : health.status}<//><span class="quiet">Runwright ${health.version}</span></div>
    <${Card} title="Runs"><${Figures} figures=${[["executing", runs.executing], ["begun", runs.in_flight], ["queued", runs.queued], ["in backoff", runs.backoff], ["most executing", runs.max_executing], ["most begun", runs.max_in_flight]]} /><//>
    <${Card} title="Storage"><p><${State} good=${health.storage.writable}>${health.storage.writable ? "can be read and written" : "cannot be written"}<//> ${health.storage.backend} ${health.storage.damage ?? ""}</p><//>
    <${Card} title="Models">${models.length ? html`<${Table} caption="Models" head=${["Model", "State", "Until", "Error", "Calls", "Queued"]} rows=${models.map(([name, model]) => [html`<code>${name}</code>`, html`<${State} good=${model.state === "ok"}>${model.state}<//>`, model.until ? moment(model.until) : "", model.error_class ?? "", model.calls, model.queued])} />`
      : html`<p>None is configured: the pattern planner makes every plan. <code>RUNWRIGHT_MODELS</code> names models.</p>`}<//>
    ${servers.length > 0 && html`<${Card} title="MCP servers"><${Table} caption="MCP servers" head=${["Server", "State", "Protocol", "#Tools", "Reason", "Left out"]} rows=${servers.map(([name, server]) => [html`<code>${name}</code>`, html`<${State} good=${server.state === "ready"}>${server.state}<//>`, server.protocol ?? "", server.tools, server.reason ?? "", server.left_out.join("; ")])} /><//>`}
    <${Card} title="Yours today"><${Figures} figures=${[
      ["spent", budget.spent ? money(budget.spent.usd) : "not counted"], ["spent at most", budget.limit.usd === null ? null : money(budget.limit.usd)], ["tokens", budget.spent?.tokens], ["tokens at most", budget.limit.tokens],
      ["runs kept", budget.quota.used.runs], ["runs at most", budget.quota.limit.runs], ["kept of them", size(budget.quota.used.bytes)], ["posts a minute", budget.quota.limit.posts_per_minute]]} />
      <p class="quiet">The day ends at ${moment(budget.renewed_at)}.</p><//>
    <${Doctor} />`;
}
