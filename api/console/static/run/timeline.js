// A run's time as rows of bars: pure, from its record and its explanation.
//
// The server's spans follow each other without a gap; each is one bar, so that the rows add up.

import { SETTLED } from "../words.js";

export const PARTS = {
  queue: "in the queue", planning: "planning", waiting: "waiting for a person", backoff: "backoff",
  tools: "tools", interruption: "crash until recovery", other: "storage and all else",
};

// What a person need not watch: a stretch of these that fills more than a fifth is folded, unless it
// is short, in ms.
const IDLE = new Set(["queue", "waiting", "backoff", "interruption"]);
const FOLDED = 0.2, SHARE = 0.1, SHORT = 1000;

// Times in records are in ms, those of spans in µs.
const NEAR = 1.5;

const sum = (spans) => spans.reduce((total, span) => total + span.length_ms, 0);

const offset = (record, time) => Date.parse(time) - Date.parse(record.created_at);

// The spans of a run that goes on, the last one grown until `now`.
export function grown(record, explained, now) {
  const spans = explained.spans.map((span) => ({ ...span }));
  if (SETTLED.has(record.status)) return spans;
  const end = Math.max(explained.total_ms, now - Date.parse(record.created_at));
  const last = spans.at(-1);
  if (last) last.length_ms = Math.max(last.length_ms, end - last.start_ms);
  else if (end > 0) spans.push({ part: "queue", start_ms: 0, length_ms: end, step: null });
  return spans;
}

// Takes the entry of a log that a span is of, each once.
function taken(record, log) {
  const rest = log.map((entry, index) => ({ entry, index, start: offset(record, entry.started_at) }));
  return (span, step) => {
    const at = rest.findIndex(({ entry, start }) => entry.step === step && Math.abs(start - span.start_ms) < NEAR);
    return at < 0 ? null : rest.splice(at, 1)[0];
  };
}

// The rows, each `{key, label, bars, ms}`; a step and the planning have one for each attempt below
// them, where there are several. `live` marks the bar that grows.
export function rows(record, spans) {
  const byKey = new Map();
  const attempt = taken(record, record.execution_log), planning = taken(record, record.planning_log);
  const row = (key, label, step) => {
    if (!byKey.has(key)) byKey.set(key, { key, label, step, bars: [], parts: [] });
    return byKey.get(key);
  };
  const settled = SETTLED.has(record.status);
  const stepRow = (step) => row(`step-${step}`, record.plan.steps[step - 1]?.tool ?? "step", step);
  let part = null; // where what follows an attempt or a call belongs
  spans.forEach((span, index) => {
    const bar = { ...span, live: !settled && index === spans.length - 1 };
    const ofStep = span.part === "tools" || (span.part === "backoff" && span.step);
    if (!ofStep && span.part !== "planning" && span.part !== "backoff") {
      row(span.part, PARTS[span.part]).bars.push(bar);
      return;
    }
    const step = ofStep ? span.step ?? record.current?.step ?? record.progress.done + 1 : undefined;
    const of = ofStep ? stepRow(step) : row("plan", "plan");
    if (span.part !== "backoff") {
      const found = ofStep ? attempt(span, step) : planning(span);
      const entry = found?.entry ?? {};
      bar.status = entry.outcome ?? entry.status ?? (bar.live ? "running" : "cancelled");
      // "c" is the attempt that is being made, which no log has yet.
      bar.at = found ? `${ofStep ? "a" : "p"}${found.index}` : ofStep && bar.live ? "c" : null;
      const number = entry.attempt ?? record.current?.attempt ?? of.parts.length + 1;
      const label = ofStep ? `attempt ${number}` : entry.model ?? "pattern planner";
      part = { key: `${of.key}-${index}`, label, again: entry.generation, bars: [], at: bar.at, status: bar.status };
      of.parts.push(part);
    }
    of.bars.push(bar);
    part?.bars.push(bar);
  });
  // Steps to come have a row, so that one sees what the plan is before it is done.
  for (const { step } of record.plan.steps) stepRow(step);
  const ranks = { queue: -2, plan: -1, waiting: 1e6, interruption: 2e6, other: 3e6 };
  const made = [...byKey.values()].map((one) => {
    const at = one.bars.filter((bar) => bar.at).at(-1)?.at ?? null;
    const parts = one.parts.length > 1 ? one.parts.map((each) => ({ ...each, ms: sum(each.bars) })) : [];
    return { ...one, at, parts, ms: sum(one.bars) };
  });
  return made.sort((a, b) => (ranks[a.key] ?? a.step) - (ranks[b.key] ?? b.step));
}

export function totals(spans) {
  const all = {};
  for (const span of spans) all[span.part] = (all[span.part] ?? 0) + span.length_ms;
  return Object.keys(PARTS).filter((part) => all[part]).map((part) => ({ part, ms: all[part] }));
}

// From a time to its place between 0 and 1; long idle stretches are folded, and told as `folds`.
// While a run goes on the end of the axis grows in steps, so that bars keep their places in between;
// `key` is the same as long as they do.
export function scale(spans, fold, grows = false) {
  const total = sum(spans) || 1;
  const long = (span) => fold && IDLE.has(span.part) && span.length_ms > Math.max(SHORT, FOLDED * total);
  const folded = spans.filter(long), few = folded.length < 9, shown = sum(spans) - sum(folded);
  // Where all is idle there is nothing to make room for.
  const folds = shown > 0 && few ? folded : [];
  const room = 1 - SHARE * folds.length;
  const length = folds.length ? shown : total, step = 2 ** Math.ceil(Math.log2(length)) / 32;
  const whole = grows ? Math.ceil(length / step) * step : length;
  const pieces = [];
  let place = 0;
  for (const span of spans) {
    const width = folds.includes(span) ? SHARE : (span.length_ms / whole) * room;
    pieces.push({ start: span.start_ms, length: span.length_ms, place, width });
    place += width;
  }
  const at = (time) => {
    if (!pieces.length) return 0;
    // The last piece that does not begin later: there are two for each attempt, and each has a bar.
    let low = 0, high = pieces.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (pieces[middle].start <= time) low = middle;
      else high = middle;
    }
    const piece = pieces[low];
    return piece.place + (piece.length ? Math.min(1, (time - piece.start) / piece.length) : 0) * piece.width;
  };
  return { total, at, folds, key: `${whole} ${folds.length}` };
}

// Round times for the axis, those that would stand too close left out.
export function ticks({ total, at, folds }) {
  const spread = total - sum(folds);
  const rough = spread / 6, power = 10 ** Math.floor(Math.log10(rough || 1));
  const step = power * ([1, 2, 5, 10].find((one) => one * power >= rough) ?? 10);
  const times = [0];
  let from = 0;
  for (const until of [...folds, { start_ms: total, length_ms: 0 }]) {
    for (let time = Math.ceil(from / step) * step; time < until.start_ms; time += step) times.push(time);
    from = until.start_ms + until.length_ms;
    if (from < total) times.push(from);
  }
  const shown = [];
  for (const time of times.sort((a, b) => a - b)) {
    const place = at(time);
    if (place < 0.94 && (!shown.length || place - shown.at(-1).place > 0.09)) shown.push({ time, place });
  }
  return shown;
}
