// How the server does: its storage, queue, models, MCP servers and the caller's budget.
import { call, useRead } from "../api.js";
import { Check, html, moment, money, size, Status, Table, Unread, useEffect, useState } from "../words.js";

// Nothing pushes these; they are read so often while somebody looks, in ms.
const EVERY = 5000;

const MARKS = { ok: "ok", warning: "in_doubt", fails: "failed" };

const State = ({ good, children }) => html`<${Status} status=${good ? "completed" : "failed"}>${children}<//>`;

const Card = ({ title, children }) => html`<section class=card aria-label=${title}><h2>${title}</h2>${children}</section>`;

const named = name => name.replaceAll("_", " ");

// A value as one reads it, by the name that the server has for it.
function shown(name, value) {
  if (value == null) return "–";
  if (name === "until") return moment(value);
  if (typeof value !== "number") return String(value);
  const said = { usd: money, bytes: size }[name];
  return said ? said(value) : Number.isInteger(value) ? value : value.toPrecision(2);
}

const Figures = ({ of, none }) => html`<dl class=figures>${Object.entries(of).map(([name, figure]) => html`<div>
  <dt>${named(name)}</dt><dd class=number>${shown(name, figure ?? none)}</dd></div>`)}</dl>`;

// What there is by its name, as models are, and what is known of each.
function Each({ title, of, good }) {
  const fields = Object.keys(Object.values(of)[0]);
  const cell = (one, field) => field === "state" ? html`<${State} good=${one.state === good}>${one.state}<//>` : shown(field, one[field]);
  return html`<${Table} caption=${title} head=${["Name", ...fields.map(named)]}
    rows=${Object.entries(of).map(([name, one]) => [html`<code>${name}</code>`, ...fields.map(field => cell(one, field))])} />`;
}

// What doctor found and what the server is set to: read once, since nothing of it changes often.
function Doctor() {
  const [told, wrong, read] = useRead(() => call("doctor"));
  const [all, turn] = useState(false);
  if (!told) return html`<${Unread} wrong=${wrong} />`;
  return html`<${Card} title=Doctor>
      <p><${State} good=${told.ok}>${told.ok ? "nothing fails" : "something fails"}<//> <button class=plain onClick=${read}>Look again</button></p>
      <${Table} caption="What was found" head=${["Check", "How", "What that says"]}
        rows=${told.checks.map(({ check, status, message }) => [check, html`<${Status} status=${MARKS[status]}>${status}<//>`, message])} />
      <p class=quiet><code>runwright doctor</code> opens everything anew, and asks models with <code>--call-models</code>.</p><//>
    <${Card} title=Settings><${Check} on=${all} turn=${turn}>those with their defaults, too<//>
      <${Table} caption=Settings head=${["Setting", "Value", "What it is"]} rows=${told.settings.filter(one => all || one.given).map(({ name, value, given, description }) => [
        html`<code>${name}</code>`, value !== null ? String(value) : given ? "set, not shown" : "–", description])} />
      <p class=quiet>Texts and lists are not shown: they may hold names, places and keys.</p><//>`;
}

export default function Health() {
  const [told, wrong, read] = useRead(() => Promise.all([call("health"), call("budget")]));
  useEffect(() => {
    const timer = setInterval(read, EVERY);
    return () => clearInterval(timer);
  }, []);
  if (!told) return html`<${Unread} wrong=${wrong} />`;
  const [{ runs, storage, status, version, models, servers }, { limit, spent, quota, renewed_at }] = told;
  const budget = { "at most": limit, spent, "may be kept and posted": quota.limit, "is kept": quota.used };
  return html`<div class=title><h1>Health</h1><${State} good=${!wrong && status === "ok"}>${wrong ? "no answer" : status}<//><span class=quiet>Runwright ${version}</span></div>
    <${Card} title=Runs><${Figures} of=${runs} /><//>
    <${Card} title=Storage><p><${State} good=${storage.writable}>${storage.writable ? "can be read and written" : "cannot be written"}<//> ${storage.backend} ${storage.damage}</p><//>
    <${Card} title=Models>${Object.keys(models)[0] ? html`<${Each} title=Models of=${models} good=ok />`
      : html`<p>None is configured: the pattern planner makes every plan. <code>RUNWRIGHT_MODELS</code> names models.</p>`}<//>
    ${Object.keys(servers)[0] && html`<${Card} title="MCP servers"><${Each} title="MCP servers" of=${servers} good=ready /><//>`}
    <${Card} title="Yours today">${Object.entries(budget).map(([name, of]) => of && html`<h3>${name}</h3><${Figures} of=${of} none="no limit" />`)}
      <p class=quiet>The day ends at ${moment(renewed_at)}.</p><//>
    <${Doctor} />`;
}
