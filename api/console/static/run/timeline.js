// A run's time as rows of bars: spans have no gaps, and each is one bar, so that rows add up.
import { isSettled } from "../words.js";

export const PARTS = {
  queue: "in the queue", planning: "planning", waiting: "waiting for a person", backoff: "backoff",
  tools: "tools", interruption: "crash until recovery", other: "storage and all else",
};

// Nobody need watch these: more than a fifth of them is folded to a tenth, unless it is short, in ms.
const IDLE = ["queue", "waiting", "backoff", "interruption"];
const FOLDED = 0.2, SHARE = 0.1, SHORT = 1000;

const sum = spans => spans.reduce((total, span) => total + span.length_ms, 0);

export function grown(record, { spans, total_ms }, now) {
  if (isSettled(record)) return spans;
  const last = spans.at(-1) ?? { part: "queue", start_ms: 0, length_ms: 0 }, { start_ms, length_ms } = last;
  const grew = { ...last, length_ms: Math.max(length_ms, total_ms - start_ms, now - Date.parse(record.created_at) - start_ms) };
  return grew.length_ms > 0 ? [...spans.slice(0, -1), grew] : spans;
}

// Steps and the planning have rows of their own for each of several attempts. What is being made is in
// no log yet: it is at "c".
export function rows(record, spans) {
  const { plan: { steps }, current, progress, execution_log, planning_log } = record, byKey = {};
  const row = (key, label, step) => byKey[key] ??= { key, label, step, depth: 1, bars: [], parts: [] };
  const stepRow = step => row(`step-${step}`, steps[step - 1]?.tool ?? "step", step);
  // Steps to come have a row, too: the plan is seen before it is done.
  row("queue", PARTS.queue);
  row("plan", "plan");
  for (const { step } of steps) stepRow(step);
  let last; // where what follows an attempt or a call belongs
  spans.forEach((span, index) => {
    const { part } = span, live = !isSettled(record) && index === spans.length - 1, bar = { ...span };
    if (!["tools", "planning", "backoff"].includes(part)) {
      row(part, PARTS[part]).bars.push(bar);
      return;
    }
    const step = span.step ?? (part === "tools" ? current?.step ?? progress.done + 1 : undefined), of = step ? stepRow(step) : byKey.plan;
    if (part !== "backoff") {
      const entry = (step ? execution_log : planning_log)[span.entry] ?? {};
      bar.at = span.entry !== null ? `${step ? "a" : "p"}${span.entry}` : step && live ? "c" : null;
      bar.status = entry.outcome ?? entry.status ?? (live ? "running" : "cancelled");
      const label = step ? `attempt ${entry.attempt ?? current?.attempt ?? of.parts.length + 1}` : entry.model ?? "pattern planner";
      of.parts.push(last = { key: `${of.key}-${index}`, label, again: entry.generation, depth: 2, bars: [] });
    }
    of.bars.push(bar);
    last?.bars.push(bar);
  });
  const whole = ({ parts = [], ...row }) => {
    const { at, status } = row.bars.findLast(bar => bar.at) ?? {};
    return { ...row, at, status, parts: parts[1] ? parts.map(whole) : [], ms: sum(row.bars) };
  };
  return Object.values(byKey).filter(({ bars, step }) => bars[0] || step).map(whole);
}

export const totals = spans => Object.keys(PARTS).map(part => ({ part, ms: sum(spans.filter(span => span.part === part)) })).filter(({ ms }) => ms);

// From a time to its place between 0 and 1. While a run goes on the axis grows in steps, so that bars
// keep their places in between; `key` is the same as long as they do.
export function scale(spans, fold, grows) {
  const total = sum(spans) || 1;
  const long = spans.filter(({ part, length_ms }) => IDLE.includes(part) && length_ms > Math.max(SHORT, FOLDED * total));
  const rest = total - sum(long);
  // Where all is idle there is nothing to make room for.
  const foldable = rest > 0.001 && long.length < 9 ? long : [], folds = fold ? foldable : [];
  const length = folds[0] ? rest : total, step = 2 ** Math.ceil(Math.log2(length)) / 32;
  const whole = (grows ? Math.ceil(length / step) * step : length) / (1 - SHARE * folds.length);
  const hidden = (until, { start_ms, length_ms }) => Math.max(0, Math.min(1, (until - start_ms) / length_ms)) * (length_ms - SHARE * whole);
  const at = time => folds.reduce((left, one) => left - hidden(time, one), Math.min(time, total)) / whole;
  return { total, at, folds, foldable, key: `${whole} ${folds.length}` };
}

export function ticks({ total, at, folds }) {
  const rough = (total - sum(folds)) / 6, power = 10 ** Math.floor(Math.log10(rough || 1));
  const step = power * ([1, 2, 5].find(one => one * power >= rough) ?? 10), shown = [];
  for (let time = 0; time < total && at(time) < 0.88;) {
    if (!(at(time) - shown.at(-1)?.place <= 0.09)) shown.push({ time, place: at(time) });
    const next = (Math.floor(time / step + 1e-9) + 1) * step;
    const over = folds.find(({ start_ms, length_ms }) => next > start_ms && time < start_ms + length_ms);
    time = over ? over.start_ms + over.length_ms : next;
  }
  return shown;
}
