// The waterfall: what the run did with its time, and the sum of it.
import { useEffect, useRef, useState } from "../vendor/hooks.mjs";
import { clock, live } from "../api.js";
import { duration, html, SETTLED } from "../words.js";
import { grown, PARTS, rows, scale, ticks, totals } from "./timeline.js";

// More attempts than this are shown when they are asked for, but for those that failed.
const MANY = 40;

const BAD = new Set(["error", "timeout", "in_doubt", "failed", "rejected", "refused"]);

// How often a growing bar is drawn anew, in ms: seldom where there is much to draw, or motion is unwanted.
const OFTEN = 50, SELDOM = 500;

// The time until which a run is drawn: it stands still while the page is not live.
function useNow(growing, many) {
  const [now, tick] = useState(clock.now());
  useEffect(() => {
    if (!growing) return undefined;
    const still = many || matchMedia("(prefers-reduced-motion: reduce)").matches;
    const timer = setInterval(() => tick(["lost", "paused"].includes(live.state) ? live.until : clock.now()), still ? SELDOM : OFTEN);
    return () => clearInterval(timer);
  }, [growing, many]);
  return now;
}

const SAID = {
  ok: "succeeded", error: "failed", timeout: "timed out", cancelled: "was cut off", in_doubt: "may have acted",
  running: "is under way", planned: "made a plan", failed: "failed", refused: "did not understand", rejected: "made a plan that failed its check",
};

const told = (bar) => (bar.status ? `${SAID[bar.status] ?? bar.status}, ${duration(bar.length_ms)}` : `${PARTS[bar.part]}, ${duration(bar.length_ms)}`);

function Bar({ bar, place, select, chosen }) {
  const left = place.at(bar.start_ms), right = place.at(bar.start_ms + bar.length_ms);
  const kind = `bar b-${bar.part} ${bar.status ? `r-${bar.status}` : ""} ${place.folds.some((one) => one.start_ms === bar.start_ms) ? "folded" : ""} ${chosen ? "chosen" : ""}`;
  const style = { left: `${left * 100}%`, width: `${Math.max(0, right - left) * 100}%` };
  const folded = kind.includes("folded") && html`<small>${duration(bar.length_ms)}</small>`;
  return html`<span class=${kind} style=${style} title=${told(bar)} onClick=${bar.at ? () => select(bar.at) : undefined}>${folded}</span>`;
}

function Row({ row, place, select, chosen, depth, open, toggle, lit, light }) {
  const said = `${row.step ? `step ${row.step}, ` : ""}${row.label}: ${row.bars.length ? row.bars.map(told).join(", then ") : "not begun"}`;
  const name = html`${row.step && depth === 1 && html`<b class="step">${row.step}</b> `}${row.label}${row.again > 0 && html` <small>retry ${row.again}</small>`}`;
  return html`<div class=${`w-row d-${depth} ${row.bars.length ? "" : "future"} ${open ? "open" : ""} ${row.step && row.step === lit ? "lit" : ""}`} role="row"
    onMouseEnter=${row.step ? () => light(row.step) : undefined} onMouseLeave=${row.step ? () => light(null) : undefined} aria-level=${depth} aria-expanded=${row.parts?.length ? open : undefined}>
    <span role="rowheader" class="w-name">
      ${row.parts?.length ? html`<button class="fold" aria-label=${`${open ? "Fold" : "Unfold"} ${row.label}`} onClick=${toggle}>${open ? "▾" : "▸"}</button>` : html`<span class="fold"></span>`}
      ${row.at ? html`<button class=${`name ${BAD.has(row.status) ? "bad" : ""}`} data-at=${row.at} aria-pressed=${chosen === row.at} onClick=${() => select(row.at)}>${name}</button>` : html`<span class="name">${name}</span>`}
    </span>
    <span role="gridcell" class="w-ms number">${row.bars.length ? duration(row.ms) : ""}</span>
    <span role="gridcell" class="w-bars"><span class="hidden">${said}</span>
      ${row.bars.map((bar) => html`<${Bar} key=${bar.start_ms} bar=${bar} place=${place} select=${select} chosen=${bar.at && bar.at === chosen} />`)}</span>
  </div>`;
}

// Arrows lead from row to row, and fold and unfold.
function arrows(event) {
  const row = event.target.closest("[role=row]"), names = [...event.currentTarget.querySelectorAll("button.name")];
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key], open = { ArrowRight: "false", ArrowLeft: "true" }[event.key];
  if (by) names[Math.max(0, Math.min(names.length - 1, names.indexOf(row?.querySelector("button.name")) + by))]?.focus();
  else if (open && row?.getAttribute("aria-expanded") === open) row.querySelector("button.fold").click();
  else return;
  event.preventDefault();
}

export function Waterfall({ record, explained, select, chosen, lit, light }) {
  const [fold, setFold] = useState(true);
  const [turned, turn] = useState({});
  const few = record.execution_log.length <= MANY;
  const now = useNow(!SETTLED.has(record.status), !few);
  const spans = grown(record, explained, now);
  const place = scale(spans, fold, !SETTLED.has(record.status));
  const foldable = scale(spans, true).folds.length > 0;
  const all = rows(record, spans);
  const shown = all.flatMap((row) => {
    const open = row.parts.length > 0 && (turned[row.key] ?? (few || row.parts.some((part) => part.at === chosen)));
    const line = { row, depth: 1, open, toggle: () => turn((before) => ({ ...before, [row.key]: !open })) };
    return open ? [line, ...row.parts.map((part) => ({ row: part, depth: 2 }))] : [line];
  });
  const errors = all.flatMap((row) => (row.parts.length ? row.parts : [{ ...row, status: row.bars.findLast((bar) => bar.status)?.status }])).filter((row) => BAD.has(row.status) && row.at);
  // Of hundreds of rows an event, or a look at another, changes one or two: the others stay as they are.
  const drawn = useRef(new Map()).current;
  const line = ({ row, depth, open, toggle }) => {
    const last = row.bars.at(-1);
    const said = [row.ms, row.at, row.bars.length, last?.status, depth, open, row.step === lit, row.bars.some((bar) => bar.at && bar.at === chosen), row.at === chosen, place.key].join();
    if (drawn.get(row.key)?.said !== said) {
      drawn.set(row.key, { said, row: html`<${Row} key=${row.key} row=${row} depth=${depth} open=${open} toggle=${toggle} place=${place} select=${select} chosen=${chosen} lit=${lit} light=${light} />` });
    }
    return drawn.get(row.key).row;
  };
  const sums = totals(spans);
  const nextError = () => select((errors[errors.findIndex((row) => row.at === chosen) + 1] ?? errors[0]).at);
  return html`<section class="waterfall card" aria-labelledby="w-title">
    <div class="head"><h2 id="w-title">Where the time went</h2>
      <span class="total number">${duration(spans.length ? place.total : 0)}</span>
      ${foldable && html`<label class="check"><input type="checkbox" checked=${fold} onChange=${(event) => setFold(event.target.checked)} /> fold idle time</label>`}
      ${errors.length > 0 && html`<button class="plain" data-key="e" onClick=${nextError}>Next error</button>`}</div>
    <div class="sums" aria-label="Parts of the time">
      <div class="stack" aria-hidden="true">${sums.map(({ part, ms }) => html`<i class=${`b-${part}`} style=${{ width: `${(ms / place.total) * 100}%` }}></i>`)}</div>
      <ul>${sums.map(({ part, ms }) => html`<li><i class=${`key b-${part}`} aria-hidden="true"></i>${PARTS[part]} <b class="number">${duration(ms)}</b></li>`)}</ul>
    </div>
    <div class=${`grid ${shown.length > 100 ? "many" : ""}`} role="treegrid" aria-label="Attempts over time" tabindex="0" data-key="w" onKeyDown=${arrows}>
      <div class="w-row axis" role="row"><span role="columnheader"><span class="hidden">What</span></span><span role="columnheader"><span class="hidden">Took</span></span>
        <span role="columnheader" class="w-bars">${ticks(place).map(({ time, place: at }) => html`<small class="number" style=${{ left: `${at * 100}%` }}>${time === 0 ? "0" : duration(time)}</small>`)}<span class="hidden">When</span></span></div>
      ${shown.map(line)}
    </div>
  </section>`;
}
