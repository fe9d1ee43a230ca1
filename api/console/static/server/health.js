// How the server does: its storage, queue, models, MCP servers and the caller's budget.
import { call, useRead } from "../api.js";
import { html, moment, money, size, Status, Table, useEffect, useState, Wrong } from "../words.js";

// Nothing pushes these; they are read so often while somebody looks, in ms.
const EVERY = 5000;

const MARKS = { ok: "ok", warning: "in_doubt", fails: "failed" };

const State = ({ good, children }) => html`<${Status} status=${good ? "completed" : "failed"}>${children}<//>`;

const Card = ({ title, children }) => html`<section class=card aria-label=${title}><h2>${title}</h2>${children}</section>`;

// What doctor found and what the server is set to: read once, since nothing of it changes often.
function Doctor() {
  const [told, wrong, read] = useRead(() => call("doctor"));
  const [all, turn] = useState(false);
  if (!told) return html`<${Wrong} problem=${wrong} />`;
  const shown = told.settings.filter(one => all || one.given);
  return html`<${Card} title=Doctor><p><${State} good=${told.ok}>${told.ok ? "nothing fails" : "something fails"}<//> <button class=plain onClick=${read}>Look again</button></p>
      <${Table} caption="What was found" head=${["Check", "How", "What that says"]} rows=${told.checks.map(one => [one.check, html`<${Status} status=${MARKS[one.status]}>${one.status}<//>`, one.message])} />
      <p class=quiet><code>runwright doctor</code> opens everything anew, and asks models with <code>--call-models</code>.</p><//>
    <${Card} title=Settings><label class=check><input type=checkbox checked=${all} onChange=${() => turn(!all)} /> those with their defaults, too</label>
      ${shown[0] ? html`<${Table} caption=Settings head=${["Setting", "Value", "What it is"]} rows=${shown.map(one => [html`<code>${one.name}</code>`, one.value !== null ? String(one.value) : one.given ? html`<span class=quiet>set, not shown</span>` : "none", one.description])} />` : html`<p>All have their defaults.</p>`}
      <p class=quiet>Texts and lists are not shown: they may hold names, places and keys.</p><//>`;
}

const Figures = ({ of }) => html`<dl class=figures>${Object.entries(of).map(([name, figure]) => figure !== undefined && html`<div><dt>${name}</dt><dd class=number>${figure ?? "no limit"}</dd></div>`)}</dl>`;

export default function Health() {
  const [told, wrong, read] = useRead(() => Promise.all([call("health"), call("budget")]));
  useEffect(() => {
    const timer = setInterval(read, EVERY);
    return () => clearInterval(timer);
  }, []);
  if (!told) return html`<${Wrong} problem=${wrong} />`;
  const [{ runs, storage, status, version, ...health }, { limit, spent, quota, renewed_at }] = told;
  const models = Object.entries(health.models), servers = Object.entries(health.servers);
  return html`<div class=title><h1>Health</h1><${State} good=${!wrong && status === "ok"}>${wrong ? "no answer" : status}<//><span class=quiet>Runwright ${version}</span></div>
    <${Card} title=Runs><${Figures} of=${{ executing: runs.executing, begun: runs.in_flight, queued: runs.queued, "in backoff": runs.backoff, "most executing": runs.max_executing, "most begun": runs.max_in_flight, "ended in a second": runs.ends_per_s?.toPrecision(2) }} /><//>
    <${Card} title=Storage><p><${State} good=${storage.writable}>${storage.writable ? "can be read and written" : "cannot be written"}<//> ${storage.backend} ${storage.damage}</p><//>
    <${Card} title=Models>${models[0] ? html`<${Table} caption=Models head=${["Model", "State", "Until", "Error", "Calls", "Queued"]} rows=${models.map(([name, model]) => [html`<code>${name}</code>`, html`<${State} good=${model.state === "ok"}>${model.state}<//>`, model.until && moment(model.until), model.error_class, model.calls, model.queued])} />`
      : html`<p>None is configured: the pattern planner makes every plan. <code>RUNWRIGHT_MODELS</code> names models.</p>`}<//>
    ${servers[0] && html`<${Card} title="MCP servers"><${Table} caption="MCP servers" head=${["Server", "State", "Protocol", "#Tools", "Reason", "Left out"]} rows=${servers.map(([name, server]) => [html`<code>${name}</code>`, html`<${State} good=${server.state === "ready"}>${server.state}<//>`, server.protocol, server.tools, server.reason, server.left_out.join("; ")])} /><//>`}
    <${Card} title="Yours today"><${Figures} of=${{ spent: spent ? money(spent.usd) : "not counted", "spent at most": limit.usd === null ? null : money(limit.usd), tokens: spent?.tokens, "tokens at most": limit.tokens,
      "runs kept": quota.used.runs, "runs at most": quota.limit.runs, "kept of them": size(quota.used.bytes), "posts a minute": quota.limit.posts_per_minute }} />
      <p class=quiet>The day ends at ${moment(renewed_at)}.</p><//>
    <${Doctor} />`;
}
