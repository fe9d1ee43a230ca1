// How the server does, and the caller's budget.
import { button, call, check, every, html, moment, money, quiet, size, stateOf, table, unread, useEffect, useRead, useState } from "../words.js";

const good = (is, words) => stateOf(is ? "completed" : "failed", words);

const card = (title, ...children) => html`<section class=card aria-label=${title}><h2>${title}</h2>${children}</section>`;

const named = name => name.replaceAll("_", " ");

function shown(name, value) {
  if (value == null) return "–";
  if (name === "until") return moment(value);
  if (typeof value !== "number") return String(value);
  const said = { usd: money, bytes: size }[name];
  return said ? said(value) : Number.isInteger(value) ? value : value.toPrecision(2);
}

const figures = (of, none) => html`<dl class=figures>${Object.entries(of).map(([name, figure]) => html`<div>
  <dt>${named(name)}</dt><dd class=number>${shown(name, figure ?? none)}</dd></div>`)}</dl>`;

function each(title, of, well) {
  const fields = Object.keys(Object.values(of)[0]);
  const cell = (one, field) => field === "state" ? good(one.state === well, one.state) : shown(field, one[field]);
  const rows = Object.entries(of).map(([name, one]) => [html`<code>${name}</code>`, ...fields.map(field => cell(one, field))]);
  return table(title, ["Name", ...fields.map(named)], rows);
}

function Doctor() {
  const [told, wrong, read] = useRead("doctor"), [all, turn] = useState(false);
  if (!told) return unread(wrong);
  return [
    card("Doctor", html`<p>${good(told.ok, told.ok ? "nothing fails" : "something fails")} ${button("Look again", read, "plain")}</p>`,
      table("What was found", ["Check", "How", "What that says"],
        told.checks.map(({ check, status, message }) => [check, stateOf(status, status), message]))),
    card("Settings", check(all, turn, "those with their defaults, too"),
      table("Settings", ["Setting", "Value", "What it is"],
        told.settings.filter(one => all || one.given).map(({ name, value, given, description }) => [
          html`<code>${name}</code>`,
          value !== null ? String(value) : given ? "set, not shown" : "–",
          description])),
      quiet("Texts and lists are not shown: they may hold names, places and keys.")),
  ];
}

export default function Health() {
  const [told, wrong, read] = useRead(() => Promise.all([call("health"), call("budget")]));
  useEffect(() => every(5000, read), []); // nothing pushes these
  if (!told) return unread(wrong);
  const [{ runs, storage, status, version, models, servers }, { limit, spent, quota, renewed_at }] = told;
  const budget = { "at most": limit, spent, "may be kept and posted": quota.limit, "is kept": quota.used };
  return html`<div class=title><h1>Health</h1>${good(!wrong && status === "ok", wrong ? "no answer" : status)}<span class=quiet>Runwright ${version}</span></div>
    ${card("Runs", figures(runs))}
    ${card("Storage", html`<p>${good(storage.writable, storage.writable ? "can be read and written" : "cannot be written")} ${storage.backend} ${storage.damage}</p>`)}
    ${card("Models", Object.keys(models)[0] ? each("Models", models, "ok")
      : html`<p>None is configured: the pattern planner makes every plan. <code>RUNWRIGHT_MODELS</code> names models.</p>`)}
    ${Object.keys(servers)[0] && card("MCP servers", each("MCP servers", servers, "ready"))}
    ${card("Yours today", Object.entries(budget).map(([name, of]) => of && [html`<h3>${name}</h3>`, figures(of, "no limit")]),
      quiet(`The day ends at ${moment(renewed_at)}.`))}
    <${Doctor} />`;
}
