// A run's time as rows of bars: pure, from its record and its explanation.
//
// The server's spans follow each other without a gap; each is one bar, so that the rows add up.
import { isSettled } from "../words.js";

export const PARTS = {
  queue: "in the queue", planning: "planning", waiting: "waiting for a person", backoff: "backoff",
  tools: "tools", interruption: "crash until recovery", other: "storage and all else",
};

// Where rows stand that are of no step.
const RANKS = { queue: -2, plan: -1, waiting: 1e6, interruption: 2e6, other: 3e6 };

// What a person need not watch: a stretch of these that fills more than a fifth is folded, unless it
// is short, in ms.
const IDLE = ["queue", "waiting", "backoff", "interruption"];
const FOLDED = 0.2, SHARE = 0.1, SHORT = 1000;

// Times in records are in ms, those of spans in µs.
const NEAR = 1.5;

const sum = spans => spans.reduce((total, span) => total + span.length_ms, 0);

// The spans of a run that goes on, the last one grown until `now`.
export function grown(record, { spans: all, total_ms }, now) {
  if (isSettled(record)) return all;
  const end = Math.max(total_ms, now - Date.parse(record.created_at)), last = all.at(-1) ?? { part: "queue", start_ms: 0, length_ms: 0 };
  const grew = { ...last, length_ms: Math.max(last.length_ms, end - last.start_ms) };
  return grew.length_ms > 0 ? [...all.slice(0, -1), grew] : all;
}

// Takes the log entry of a span, each once, with what `detailOf` shows it by.
function logged({ created_at, execution_log, planning_log }) {
  const from = Date.parse(created_at), named = (log, kind) => log.map((entry, index) => ({ entry, at: kind + index }));
  const rest = [...named(planning_log, "p"), ...named(execution_log, "a")];
  return (span, step) => {
    const index = rest.findIndex(({ entry }) => entry.step === step && Math.abs(Date.parse(entry.started_at) - from - span.start_ms) < NEAR);
    return index < 0 ? {} : rest.splice(index, 1)[0];
  };
}

// The rows, each `{key, label, bars, ms}`; a step and the planning have one for each attempt below
// them, where there are several. The attempt that is being made is in no log yet: it is "c".
export function rows(record, spans) {
  const { plan: { steps }, current, progress } = record, taken = logged(record), byKey = {};
  const row = (key, label, step) => byKey[key] ??= { key, label, step, bars: [], parts: [] };
  const stepRow = step => row(`step-${step}`, steps[step - 1]?.tool ?? "step", step);
  let last; // where what follows an attempt or a call belongs
  spans.forEach((span, index) => {
    const { part } = span, live = !isSettled(record) && index === spans.length - 1;
    if (!["tools", "planning", "backoff"].includes(part)) {
      row(part, PARTS[part]).bars.push(span);
      return;
    }
    const step = span.step ?? (part === "tools" ? current?.step ?? progress.done + 1 : undefined);
    const of = step ? stepRow(step) : row("plan", "plan"), bar = { ...span };
    if (part !== "backoff") {
      const { entry = {}, at = step && live ? "c" : null } = taken(span, step);
      const status = entry.outcome ?? entry.status ?? (live ? "running" : "cancelled");
      const label = step ? `attempt ${entry.attempt ?? current?.attempt ?? of.parts.length + 1}` : entry.model ?? "pattern planner";
      Object.assign(bar, { status, at });
      of.parts.push(last = { key: `${of.key}-${index}`, label, again: entry.generation, bars: [], at, status });
    }
    of.bars.push(bar);
    last?.bars.push(bar);
  });
  // Steps to come have a row, so that one sees what the plan is before it is done.
  for (const { step } of steps) stepRow(step);
  return Object.values(byKey).map(one => {
    const parts = one.parts.length > 1 ? one.parts.map(each => ({ ...each, ms: sum(each.bars) })) : [];
    const { at, status } = one.bars.findLast(bar => bar.at) ?? {};
    return { ...one, at, status, parts, ms: sum(one.bars) };
  }).sort((a, b) => (RANKS[a.key] ?? a.step) - (RANKS[b.key] ?? b.step));
}

export const totals = spans => Object.keys(PARTS).map(part => ({ part, ms: sum(spans.filter(span => span.part === part)) })).filter(({ ms }) => ms);

// From a time to its place between 0 and 1; long idle stretches, `foldable`, are `folds`.
// While a run goes on the end of the axis grows in steps, so that bars keep their places in between;
// `key` is the same as long as they do.
export function scale(spans, fold, grows) {
  const total = sum(spans) || 1;
  const long = spans.filter(({ part, length_ms }) => IDLE.includes(part) && length_ms > Math.max(SHORT, FOLDED * total));
  const shown = total - sum(long);
  // Where all is idle there is nothing to make room for.
  const foldable = shown > 0.001 && long.length < 9 ? long : [], folds = fold ? foldable : [], room = 1 - SHARE * folds.length;
  const length = folds[0] ? shown : total, step = 2 ** Math.ceil(Math.log2(length)) / 32;
  const whole = grows ? Math.ceil(length / step) * step : length;
  let left = 0;
  const pieces = spans.map(span => {
    const { start_ms, length_ms } = span, width = folds.includes(span) ? SHARE : (length_ms / whole) * room;
    left += width;
    return { start_ms, length_ms, width, left: left - width };
  });
  const at = time => {
    const piece = pieces.findLast(({ start_ms }) => start_ms <= time) ?? pieces[0];
    return piece ? piece.left + (Math.min(1, (time - piece.start_ms) / piece.length_ms) || 0) * piece.width : 0;
  };
  return { total, at, folds, foldable, key: `${whole} ${folds.length}` };
}

// Round times for the axis, those left out that would stand too close.
export function ticks({ total, at, folds }) {
  const rough = (total - sum(folds)) / 6, power = 10 ** Math.floor(Math.log10(rough || 1));
  const step = power * ([1, 2, 5].find(one => one * power >= rough) ?? 10);
  const times = [0];
  let from = 0;
  for (const { start_ms, length_ms } of [...folds, { start_ms: total, length_ms: 0 }]) {
    for (let time = Math.ceil(from / step) * step; time < start_ms; time += step) times.push(time);
    from = start_ms + length_ms;
    if (from < total) times.push(from);
  }
  const shown = [];
  for (const time of times) {
    const place = at(time);
    if (place < 0.94 && !(place - shown.at(-1)?.place <= 0.09)) shown.push({ time, place });
  }
  return shown;
}
