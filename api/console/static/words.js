// How things are said, and what pages are made of.
import { h } from "./vendor/preact.mjs";
import { useEffect, useRef, useState } from "./vendor/hooks.mjs";
import htm from "./vendor/htm.mjs";
import { call, every, followChanges, useRead } from "./api.js";

export { useEffect, useRef, useState };
export * from "./api.js";

// Whatever a user, a tool or a model has written becomes text, never markup.
export const html = htm.bind(h);

// A shape beside each word, so that no status is told by its colour alone.
export const STATUSES = { pending: "◌", running: "◐", waiting: "◆", completed: "✓", failed: "✕", cancelled: "⊘" };

const GLYPHS = { ...STATUSES, ok: "✓", error: "✕", timeout: "✕", in_doubt: "?", planned: "✓", finished: "✓", warning: "?", fails: "✕" };

export const SAID = { ok: "succeeded", error: "failed", timeout: "timed out", in_doubt: "in doubt" };

export const stateOf = (status, words = SAID[status] ?? status) => html`<span class="status s-${status}"><span aria-hidden=true>${GLYPHS[status] ?? "·"}</span> ${words}</span>`;

export const isSettled = ({ status }) => ["completed", "failed", "cancelled"].includes(status);

export function duration(ms) {
  if (ms == null) return "–";
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 1000) return `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  const seconds = Math.floor(ms / 1000), minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60);
  if (!hours) return `${minutes} min ${seconds % 60} s`;
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function clockTime(time) {
  const at = new Date(time);
  return at.toTimeString().slice(0, 8) + at.toISOString().slice(19, 23);
}

export function moment(time) {
  if (!time) return "–";
  const at = new Date(time), clock = clockTime(time);
  if (at.toDateString() === new Date().toDateString()) return clock.slice(0, 8);
  return `${at.toLocaleDateString("en", { month: "short", day: "numeric" })} ${clock.slice(0, 5)}`;
}

export const timeOf = (time, said = moment) => html`<time datetime=${time} title=${time}>${said(time)}</time>`;

export const counted = (count, one) => `${count} ${one}${count === 1 ? "" : "s"}`;

export const size = bytes => bytes < 1024 ? `${bytes} B` : `${(bytes / 1024).toFixed(1)} kB`;

export const money = usd => usd == null ? "price not known" : `$${usd && usd.toPrecision(2)}`;

export const json = value => JSON.stringify(value, null, 2);

const cut = (text, most) => text.length > most ? `${text.slice(0, most - 1)}…` : text;

export function brief(input) {
  const said = Object.values(input ?? {}).map(value => typeof value === "string" ? `“${value}”` : JSON.stringify(value));
  return cut(said.join(", "), 120);
}

export const listed = (all, make) => all.map((one, index) => html`${index > 0 && ", "}${make(one)}`);

export const facts = (...all) => all.filter(Boolean).join(" · ");

// The prompt in pieces, each with what lies over it; spans count characters, not units of UTF-16.
export function pieces(prompt, spans) {
  const characters = Array.from(prompt), cuts = new Set([0, ...spans.flatMap(({ span }) => span ?? []), characters.length]);
  const places = [...cuts].sort((a, b) => a - b);
  return places.slice(1).map((end, index) => ({
    text: characters.slice(places[index], end).join(""), over: spans.filter(({ span }) => span?.[0] <= places[index] && span[1] >= end),
  }));
}

export const button = (words, does, look, more) => html`<button type=button class=${look} onClick=${does} ...${more}>${words}</button>`;

export const stepOf = (step, tool) => html`<b class=step>${step}</b> <code>${tool}</code>`;

export const effectsOf = tool => tool?.effects && html`<span class=effects>⚠ changes something</span>`;

export const planned = (steps, tools = {}) => html`<ol class=plan>${steps.map(({ step, tool, input }) => html`<li>${stepOf(step, tool)} <span>${brief(input)}</span> ${effectsOf(tools[tool])}</li>`)}</ol>`;

// Rows are lists of cells, the first with their key; `#` before a column's name is for numbers, `.` hides it.
export function table(caption, head, rows, kind = "log") {
  const number = index => head[index]?.[0] === "#" && "number";
  return html`<div class=scroll><table class=${kind}><caption class=hidden>${caption}</caption>
    <thead><tr>${head.map((name, index) => html`<th scope=col class=${number(index)}>${name[0] === "." ? html`<span class=hidden>${name.slice(1)}</span>` : name.replace("#", "")}</th>`)}</tr></thead>
    <tbody>${rows.map(row => html`<tr key=${row[0]?.key}>${row.map((cell, index) => html`<td class=${number(index)}>${cell}</td>`)}</tr>`)}</tbody></table></div>`;
}

// A page of a list, and the way to others: cursors lead on only, so those before are kept.
export function usePages(path, of) {
  const [turned, turn] = useState({}), cursors = turned.path === path ? turned.cursors : [];
  const [page, wrong, reload] = useRead(cursors[0] ? `${path}&cursor=${encodeURIComponent(cursors.at(-1))}` : path);
  const go = (words, ...to) => button(words, () => turn({ path, cursors: to }));
  const nav = words => html`<nav class=pages aria-label="Pages of ${of}">${page && html`<span class=quiet>${words}</span>`}
    ${cursors[0] && go("Newer", ...cursors.slice(0, -1))}${page?.next_cursor && go("Older", ...cursors, page.next_cursor)}</nav>`;
  const [heard, hear] = useState({}); // no list tells the progress of its runs
  useEffect(() => followChanges(reload, ({ run_id, progress }) => hear(before => ({ ...before, [run_id]: progress })) ?? true), []);
  return [page, wrong, nav, reload, heard];
}

export function Countdown({ until, children }) {
  const [, tick] = useState(), left = until - Date.now();
  useEffect(() => every(250, () => tick({})), []);
  return left > 0 ? html`<span class=number role=timer>in ${Math.ceil(left / 1000)} s</span>` : children;
}

export const refusal = (problem, again = "now") => problem && problem.status !== 401 && html`<div class=wrong role=alert><p>${problem.message}</p>
  ${problem.errors?.[1] && problem.errors.map(({ field, message }) => html`<p><code>${field}</code> ${message}</p>`)}
  ${problem.until > 0 && html`<p>Ask again <${Countdown} until=${problem.until}>${again}<//></p>`}</div>`;

export const quiet = words => html`<p class=quiet>${words}</p>`;

export const unread = wrong => refusal(wrong) ?? quiet("Reading …");

// Sends its fields by their names, but for empty ones; what is clicked twice is sent once, and what was
// wrong stands beside the button.
export function Form({ send, words, look = "primary", hotkey, unfit, beside, children, ...more }) {
  const form = useRef(), sending = useRef();
  const [{ busy, problem }, tell] = useState({}), [fit, judge] = useState(true);
  const check = () => judge(form.current?.matches(":valid"));
  useEffect(check);
  const submit = async event => {
    event.preventDefault();
    if (sending.current) return;
    const fields = [...new FormData(form.current, event.submitter)].filter(([, text]) => text);
    tell({ busy: sending.current = true });
    await send(Object.fromEntries(fields)).then(() => tell({}), problem => tell({ problem }));
    sending.current = false;
  };
  return html`<form ref=${form} onInput=${check} onSubmit=${submit} ...${more}>${children}
    <div class=row><button class=${look} data-key=${hotkey} disabled=${busy || unfit || !fit}>${words}</button>${beside}</div>
    ${refusal(problem, html`<button>now</button>`)}</form>`;
}

export function Opens({ words, children, ...more }) {
  const [open, turn] = useState(false);
  return [button(words, () => turn(!open), "", { "aria-expanded": open, ...more }), open && children];
}

export const hotkey = (key, does, words) => button(words, does, "hidden", { tabindex: -1, "data-key": key });

export function walk(selector, by) {
  const all = [...document.querySelectorAll(selector)];
  const at = all.findIndex(one => one.closest("[role=row], tr").contains(document.activeElement)) + by;
  all[Math.max(0, Math.min(all.length - 1, at))]?.focus();
}

export const typed = write => ({ target }) => write(target.value);
export function sends(event) {
  if (event.key !== "Enter" || event.shiftKey) return;
  event.preventDefault();
  event.target.form.requestSubmit();
}

export const check = (on, turn, words) => html`<label class=check>
  <input type=checkbox checked=${on} onChange=${({ target }) => turn(target.checked)} /> ${words}</label>`;

export const search = (words, value, put) => html`<input type=search aria-label=${words} placeholder=${words} data-key="/" value=${value} onInput=${typed(put)} />`;

export const Select = ({ value, options, choose, ...more }) => html`<select value=${value} onChange=${choose && typed(choose)} ...${more}>
  ${options.map(option => [option].flat()).map(([one, words = one]) => html`<option value=${one} selected=${one === value}>${words}</option>`)}</select>`;

export const Code = ({ text, write, ...more }) => html`<textarea rows=${Math.min(10, text.split("\n").length)} spellcheck=${false} value=${text}
  onInput=${typed(write)} ...${more}></textarea>`;

const MUCH = 64 * 1024; // characters of a large value

function Value({ value, href }) {
  const [more, show] = useState({}), said = of => typeof of === "string" ? of : json(of);
  const big = value?.shortened === true, read = async () => show({ [href]: cut(said(await call(href)), MUCH) });
  return html`<pre class=value tabindex=0>${more[href] ?? (big ? `${value.start}…` : said(value))}</pre>
    ${big && html`<div class="quiet row">${size(value.bytes)} in all. ${href && html`${!more[href] && html`<${Form} look=plain send=${read} words="Show ${size(Math.min(MUCH, value.bytes))}" />`}
      <a href=${href} download>Download it whole</a>`}</div>`}`;
}

export const valueOf = (value, href) => html`<${Value} value=${value} href=${href} />`;
