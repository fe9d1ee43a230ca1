// What the run did with its time, and all that the record says of each attempt.
import { check, clock, clockTime, duration, every, html, isSettled, json, live, money, SAID, stateOf, stepOf, timeOf, useEffect, useRef, useState, valueOf, walk } from "../words.js";
import { grown, PARTS, rows, scale, ticks, totals } from "./timeline.js";

const MANY = 40; // attempts: more are shown only when they are asked for

const BAD = ["error", "timeout", "in_doubt", "failed", "rejected", "refused"];

// Growing bars are drawn as often, in ms: seldom where there is much to draw, or motion is unwanted.
const OFTEN = 50, SELDOM = 500;

// It stands still while the page is not live.
function useNow(growing, many) {
  const [now, tick] = useState(clock.now());
  useEffect(() => {
    if (!growing) return;
    const still = many || matchMedia("(prefers-reduced-motion: reduce)").matches;
    const show = () => tick(["lost", "paused"].includes(live.state) ? live.until : clock.now());
    const stop = every(still ? SELDOM : OFTEN, show), unwatch = live.watch(show);
    return () => { stop(); unwatch(); };
  }, [growing, many]);
  return now;
}

const told = ({ status, part, length_ms }) => `${status ? SAID[status] ?? status : PARTS[part]}, ${duration(length_ms)}`;

const percent = part => `${part * 100}%`;

function barOf(bar, place, chosen) {
  const { start_ms, length_ms, part, status, at } = bar, left = place.at(start_ms), folded = place.folds.some(one => one.start_ms === start_ms);
  const style = { left: percent(left), width: percent(Math.max(0, place.at(start_ms + length_ms) - left)) };
  return html`<span key=${start_ms} class="bar b-${part} ${status && `r-${status}`} ${folded && "folded"} ${at && at === chosen && "chosen"}" style=${style} title=${told(bar)} data-to=${at}>${folded && html`<small>${duration(length_ms)}</small>`}</span>`;
}

function rowOf({ key, step, label, bars, at, status, again, ms, depth, open, toggle }, place, chosen) {
  const said = `${step ? `step ${step}, ` : ""}${label}: ${bars.map(told).join(", then ") || "not begun"}`;
  const name = html`${step && html`<b class=step>${step}</b> `}${label}${again > 0 && html` <small>retry ${again}</small>`}`;
  return html`<div key=${key} class="w-row d-${depth} ${!bars[0] && "future"} ${open && "open"}" role=row data-step=${step} aria-level=${depth} aria-expanded=${open}>
    <span role=rowheader class=w-name>${toggle ? html`<button class=fold aria-label="${open ? "Fold" : "Unfold"} ${label}" onClick=${toggle}>${open ? "▾" : "▸"}</button>` : html`<span class=fold></span>`}
      ${at ? html`<button class="name ${BAD.includes(status) && "bad"}" data-at=${at} aria-pressed=${chosen === at}>${name}</button>` : html`<span class=name>${name}</span>`}</span>
    <span role=gridcell class="w-ms number">${bars[0] && duration(ms)}</span>
    <span role=gridcell class=w-bars><span class=hidden>${said}</span>${bars.map(bar => barOf(bar, place, chosen))}</span></div>`;
}

function arrows(event) {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key], open = { ArrowRight: "false", ArrowLeft: "true" }[event.key];
  const row = event.target.closest("[role=row]");
  if (by) walk("[role=treegrid] button.name", by);
  else if (open && row?.ariaExpanded === open) row.querySelector("button.fold").click();
  else return;
  event.preventDefault();
}

const heading = (words, kind, children) => html`<span role=columnheader class=${kind}>${children}<span class=hidden>${words}</span></span>`;

export function Waterfall({ record, explained, chosen }) {
  const [fold, setFold] = useState(true), [turned, turn] = useState({}), drawn = useRef({}).current;
  const few = record.execution_log.length <= MANY, going = !isSettled(record), spans = grown(record, explained, useNow(going, !few));
  const place = scale(spans, fold, going), sums = totals(spans), all = rows(record, spans), { total, foldable } = place;
  const shown = all.flatMap(row => {
    const { key, parts } = row, open = turned[key] ?? (few || parts.some(({ at }) => at === chosen));
    return parts[0] ? [{ ...row, open, toggle: () => turn(before => ({ ...before, [key]: !open })) }, ...(open ? parts : [])] : row;
  });
  const errors = all.flatMap(row => row.parts[0] ? row.parts : row).filter(({ status, at }) => BAD.includes(status) && at);
  const next = errors[errors.findIndex(({ at }) => at === chosen) + 1] ?? errors[0];
  // Of hundreds of rows an event changes one or two: the others stay as they are.
  const line = row => {
    const { key, ms, at, bars, open } = row, here = bars.some(bar => bar.at === chosen) && chosen;
    const said = [ms, at, bars.length, bars.at(-1)?.status, open, here, place.key].join();
    if (drawn[key]?.said !== said) drawn[key] = { said, row: rowOf(row, place, chosen) };
    return drawn[key].row;
  };
  return html`<section class="waterfall card" aria-labelledby=w-title>
    <div class=head><h2 id=w-title>Where the time went</h2>
      <span class="total number">${duration(spans[0] ? total : 0)}</span>
      ${foldable[0] && check(fold, setFold, "fold idle time")}
      ${next && html`<button class=plain data-key=e data-to=${next.at}>Next error</button>`}</div>
    <div class=sums><div class=stack aria-hidden=true>${sums.map(({ part, ms }) => html`<i class="b-${part}" style=${{ width: percent(ms / total) }}></i>`)}</div>
      <ul>${sums.map(({ part, ms }) => html`<li><i class="key b-${part}" aria-hidden=true></i>${PARTS[part]} <b class=number>${duration(ms)}</b></li>`)}</ul></div>
    <div class="grid ${shown.length > 100 && "many"}" role=treegrid aria-label="Attempts over time" tabindex=0 data-key=w onKeyDown=${arrows}>
      <div class="w-row axis" role=row>${heading("What")}${heading("Took")}
        ${heading("When", "w-bars", ticks(place).map(({ time, place: at }) => html`<small class=number style=${{ left: percent(at) }}>${time ? duration(time) : "0"}</small>`))}</div>
      ${shown.map(line)}</div></section>`;
}

const panel = (title, small, status, time, error, fields) => html`<section class="detail card" aria-labelledby=d-title>
  <h2 id=d-title>${title} <small>${small}</small></h2>
  <p class=fate>${stateOf(status)} <span class="quiet number">${time}</span></p>
  ${error && html`<div class=error>${error}</div>`}
  <dl>${Object.entries(fields).filter(([, said]) => said).map(([name, said]) => html`<div class=field><dt>${name}</dt><dd>${said}</dd></div>`)}</dl></section>`;

const attemptOf = ({ limits }, { attempt }) => `attempt ${attempt} of ${limits.max_attempts}`;

function attempt(record, made, index) {
  const { status, error, input, started_at, duration_ms } = made, planned = record.plan.steps[made.step - 1]?.input;
  return panel(stepOf(made.step, made.tool), attemptOf(record, made), status,
    `${duration(duration_ms)} · ${clockTime(started_at)} → ${clockTime(Date.parse(started_at) + duration_ms)}`,
    error && html`<b>${error.type}</b> ${error.message}
      <p class=quiet>${status === "in_doubt" ? "So it is not called again by itself." : error.retryable ? "Another attempt may succeed." : "Another would fail alike."}
        ${made.retry_at && html` The next one is due at ${timeOf(made.retry_at, clockTime)}.`}</p>`, {
      Input: valueOf(input),
      // What of the plan's input was a reference to an earlier output.
      "As planned": planned && json(planned) !== json(input) && valueOf(planned),
      Output: status === "ok" && valueOf(made.output, `runs/${record.run_id}/log/${index + 1}/output`),
      Effects: made.may_have_acted && "It may have changed something.",
      "Left behind": made.thread_running && "Its tool could not be stopped; it may still run.",
      "Changed since": made.changed?.join(", "),
      Generation: made.generation,
      "Key, the same for every attempt": made.step_key && html`<code>${made.step_key}</code>`,
    });
}

const planning = made => panel(made.model ?? "pattern planner", `round ${made.round ?? 1}`, made.outcome, `${duration(made.duration_ms)} from ${clockTime(made.started_at)}`,
  made.error_class && html`<b>${made.error_class}</b> ${made.transient && "It may pass by itself."}`, {
    Cost: made.input_tokens !== null && `${made.input_tokens} → ${made.output_tokens} tokens, ${money(made.usd)}`,
    "Waited for its turn": made.queued_ms && duration(made.queued_ms),
    Reasons: made.reasons[0] && html`<ul>${made.reasons.map(reason => html`<li>${reason}</li>`)}</ul>`,
    "Rejected plan": made.rejected_plan && valueOf(made.rejected_plan),
    "Its answer": made.raw && valueOf(made.raw),
    "Told of": made.shortlist?.join(", "),
  });

function current(record, { spans }) {
  const made = record.current, step = record.plan.steps[made?.step - 1], begun = Date.parse(record.created_at) + (spans.at(-1)?.start_ms ?? 0);
  return step && panel(stepOf(step.step, step.tool), attemptOf(record, made), "running",
    `since ${clockTime(begun)}, at most ${duration(record.limits.step_timeout * 1000)}`, null, { "As planned": valueOf(step.input) });
}

// `at` is "c", or "a" or "p" with the place in the log of attempts or of planning.
export function detailOf(at, record, explained) {
  const kind = at[0], index = Number(at.slice(1)), made = { a: record.execution_log, p: record.planning_log }[kind]?.[index];
  return kind === "c" ? current(record, explained) : made && (kind === "a" ? attempt(record, made, index) : planning(made));
}
