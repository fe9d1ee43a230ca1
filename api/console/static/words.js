// How things are said: statuses, times, lengths, values, refusals.
import { h } from "./vendor/preact.mjs";
import { useEffect, useMemo, useRef, useState } from "./vendor/hooks.mjs";
import htm from "./vendor/htm.mjs";
import { call } from "./api.js";

export { useEffect, useMemo, useRef, useState };

// What it makes is text, never markup, whatever a user, a tool or a model has written.
export const html = htm.bind(h);

// A shape beside each word, so that no status is told by its colour alone.
export const STATUSES = { pending: "◌", running: "◐", waiting: "◆", completed: "✓", failed: "✕", cancelled: "⊘" };

export const isSettled = ({ status }) => ["completed", "failed", "cancelled"].includes(status);

const GLYPHS = { ...STATUSES, ok: "✓", error: "✕", timeout: "✕", in_doubt: "?", planned: "✓", finished: "✓" };

const SAID = { in_doubt: "in doubt", timeout: "timed out" };

export const Status = ({ status, children }) => html`<span class="status s-${status}"><span aria-hidden=true>${GLYPHS[status] ?? "·"}</span> ${children ?? SAID[status] ?? status}</span>`;

export function duration(ms) {
  if (ms == null) return "–";
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 1000) return `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  const seconds = Math.floor(ms / 1000), minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60);
  if (!hours) return `${minutes} min ${seconds % 60} s`;
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function clockTime(time, exact) {
  if (!time) return "–";
  const at = new Date(time), clock = at.toTimeString().slice(0, 8);
  return exact ? `${clock}.${String(at.getMilliseconds()).padStart(3, "0")}` : clock;
}

export function moment(time) {
  const at = new Date(time), clock = clockTime(time);
  if (!time || at.toDateString() === new Date().toDateString()) return clock;
  return `${at.toLocaleDateString("en", { month: "short", day: "numeric" })} ${clock.slice(0, 5)}`;
}

export const Time = ({ time, exact }) => html`<time datetime=${time} title=${time}>${exact ? clockTime(time, true) : moment(time)}</time>`;

export const counted = (count, one) => `${count} ${one}${count === 1 ? "" : "s"}`;

export const size = bytes => bytes < 1024 ? `${bytes} B` : `${(bytes / 1024).toFixed(1)} kB`;

export const money = usd => usd == null ? "price not known" : `$${usd && usd.toPrecision(2)}`;

export const json = value => JSON.stringify(value, null, 2);

const cut = (text, most) => text.length > most ? `${text.slice(0, most - 1)}…` : text;

// A call in one line: the values of its input, shortened.
export function brief(input) {
  const said = Object.values(input ?? {}).map(value => typeof value === "string" ? `“${value}”` : JSON.stringify(value));
  return cut(said.join(", "), 120);
}

export const listed = (all, make = one => one) => all.map((one, index) => html`${index > 0 && ", "}${make(one)}`);

// The prompt in pieces, each with what lies over it. Spans count characters, not units of UTF-16.
export function pieces(prompt, spans) {
  const characters = Array.from(prompt);
  const cuts = new Set([0, characters.length]);
  for (const { span } of spans) span?.forEach(at => cuts.add(Math.min(at, characters.length)));
  const places = [...cuts].sort((a, b) => a - b);
  return places.slice(1).map((end, index) => {
    const start = places[index];
    const over = spans.filter(({ span }) => span && span[0] <= start && span[1] >= end);
    return { text: characters.slice(start, end).join(""), over };
  });
}

export const Step = ({ of, tool }) => html`<b class=step>${of}</b> <code>${tool}</code>`;

// `rows` are lists of cells, or whole rows; `#` before the name of a column makes it one of numbers, `.`
// hides the name.
export function Table({ caption, head, rows, kind = "log" }) {
  const number = index => head[index]?.[0] === "#" && "number";
  return html`<div class=scroll><table class=${kind}><caption class=hidden>${caption}</caption>
    <thead><tr>${head.map((name, index) => html`<th scope=col class=${number(index)}>${name[0] === "." ? html`<span class=hidden>${name.slice(1)}</span>` : name.replace("#", "")}</th>`)}</tr></thead>
    <tbody>${rows.map(row => Array.isArray(row) ? html`<tr>${row.map((cell, index) => html`<td class=${number(index)}>${cell}</td>`)}</tr>` : row)}</tbody></table></div>`;
}

// `turn` goes to pages by their cursors; those of the pages before are kept.
export function Pages({ of, cursors, turn, next, children }) {
  return html`<nav class=pages aria-label="Pages of ${of}">${children}
    ${cursors.length > 0 && html`<button onClick=${() => turn(cursors.slice(0, -1))}>Newer</button>`}
    ${next && html`<button onClick=${() => turn([...cursors, next])}>Older</button>`}</nav>`;
}

// The time until a moment of the browser's clock, in ms; `children` stand there once it has come.
export function Countdown({ until, children }) {
  const [left, count] = useState(until - Date.now());
  useEffect(() => {
    const timer = setInterval(() => count(until - Date.now()), 250);
    return () => clearInterval(timer);
  }, [until]);
  return left > 0 ? html`<span class=number role=timer>in ${Math.ceil(left / 1000)} s</span>` : children;
}

// A refusal beside what caused it; where the server says when to ask again, the time is counted down.
export const Wrong = ({ problem, again }) => problem && problem.status !== 401 && html`<div class=wrong role=alert><p>${problem.message}</p>
  ${problem.errors?.map(one => html`<p><code>${one.field}</code> ${one.message}</p>`)}
  ${problem.until > 0 && html`<p>Ask again <${Countdown} until=${problem.until}>${again ? html`<button type=button onClick=${again}>now</button>` : "now"}<//></p>`}</div>`;

// What is there instead of what is still read, or could not be.
export const Unread = ({ wrong }) => wrong ? html`<${Wrong} problem=${wrong} />` : html`<p class=quiet>Reading …</p>`;

export const Key = ({ of, does, children }) => html`<button class=hidden tabindex=-1 data-key=${of} onClick=${does}>${children}</button>`;

// Carries out what a button is for, and says beside it what was wrong with that.
export function useOrder() {
  const [problem, tell] = useState(null), [busy, hold] = useState(false);
  const own = useRef({}).current;
  // One at a time: what is clicked twice is done once.
  const order = async (carryOut, event) => {
    event?.preventDefault();
    if (own.busy) return;
    own.again = () => order(carryOut);
    hold(own.busy = true);
    tell(null);
    await carryOut().catch(tell);
    hold(own.busy = false);
  };
  return [order, html`<${Wrong} problem=${problem} again=${() => own.again()} />`, busy];
}

// For fields: what is typed, and the end of it by Enter.
export const typed = write => ({ target }) => write(target.value);
export const entered = send => event => {
  if (event.key !== "Enter" || event.shiftKey) return;
  event.preventDefault();
  send(event);
};

export const Check = ({ on, turn, children }) => html`<label class=check>
  <input type=checkbox checked=${on} onChange=${({ target }) => turn(target.checked)} /> ${children}</label>`;

export const Select = ({ value, options, choose, ...more }) => html`<select value=${value} onChange=${typed(choose)} ...${more}>
  ${options.map(([one, words = one]) => html`<option value=${one} selected=${one === value}>${words}</option>`)}</select>`;

// A field for JSON, as high as its text needs.
export const Code = ({ text, write, ...more }) => html`<textarea rows=${Math.min(10, text.split("\n").length)} spellcheck=${false} value=${text}
  onInput=${typed(write)} ...${more}></textarea>`;

// So much of a large value is shown when it is asked for, in characters.
const MUCH = 64 * 1024;

// A value that a user, a tool or a model has written: as text, in a box of its own.
export function Value({ value, href }) {
  const [more, show] = useState({}), [order, wrong, busy] = useOrder();
  const big = value?.shortened === true, said = of => typeof of === "string" ? of : json(of);
  const read = () => call(href).then(whole => show({ [href]: cut(said(whole), MUCH) }));
  return html`<pre class=value tabindex=0>${more[href] ?? (big ? `${value.start}…` : said(value))}</pre>
    ${big && html`<p class=quiet>${size(value.bytes)} in all. ${href && html`${!more[href] && html`<button class=plain disabled=${busy}
      onClick=${() => order(read)}>Show ${size(Math.min(MUCH, value.bytes))}</button> `}<a href=${href} download>Download it whole</a>`}</p>${wrong}`}`;
}
