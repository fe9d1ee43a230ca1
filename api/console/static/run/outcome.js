// What came of a run, where it is, and its answer while it is given.
import { brief, call, clock, clockTime, Countdown, every, follow, followChanges, html, listed, timeOf, useEffect, useRef, useState } from "../words.js";

// Longer values come shortened, and can be downloaded whole.
export const recordOf = id => call(`runs/${id}?max_value_bytes=4096`);

const EVENTS = `end run.queued run.started run.taken_up run.waiting run.approved run.rejected run.expired run.resolved run.cancelling
  run.retried run.completed run.failed run.cancelled plan.started plan.attempt plan.fallback plan.made step.started step.failed
  step.completed step.in_doubt step.progress answer.attempt answer.delta`.split(/\s+/);

export const SILENT = { text: "", at: 0 };

// An answer with its next words: at 0 it begins anew, and before others some may have been missed.
export const heard = ({ text, at }, { text: words, offset }) => ({
  text: offset ? `${text}${offset > at ? "… " : ""}${words}` : words, at: offset + Array.from(words).length,
});

// Follows a run from its record on, or without one the changes of all; nothing until they are read.
export function useFollowed(record, reload, concerns) {
  const [answer, say] = useState(SILENT), [progress, advance] = useState(null);
  useEffect(() => {
    if (record === null) return;
    say(SILENT);
    advance(null);
    if (!record) return followChanges(reload, concerns);
    return follow(last => `runs/${record.run_id}/stream?after=${last}`, EVENTS, (type, event) => {
      if (type === "step.progress") return advance(event);
      if (type === "answer.delta") return say(before => heard(before, event));
      if (type === "step.started") advance(null);
      if (type !== "opened" || event > 0) reload(); // at first it goes on from the record that is shown
    }, record.last_event_id);
  }, [record && record.run_id]);
  return { answer, progress };
}

export const metadataOf = metadata => Object.entries(metadata ?? {}).map(([name, text]) => html` <span class=tag>${name}: ${text}</span>`);

const again = (prompt, words) => html`<a href="#/?${new URLSearchParams({ prompt })}">${words}</a>`;

export function outcomeOf({ prompt, result, error }, causes = []) {
  if (error) {
    return html`<div class="outcome bad"><p><b>${error.message}</b></p>
      ${causes.slice(1).map(cause => html`<p class=quiet>because ${cause.message}</p>`)}
      ${error.examples[0] && html`<p class=quiet>These would be understood: ${listed(error.examples, one => again(one, html`<q>${one}</q>`))}.</p>`}
      ${error.unparsed?.[0] && html`<p>Nothing was done. ${again(prompt, "Edit and run")}</p>`}</div>`;
  }
  if (!result) return null;
  const { answer, output, summary } = result;
  const short = answer?.text ?? (typeof output !== "object" ? String(output) : null);
  return html`<div class="outcome good">${short !== null && html`<p class=${short.length < 40 ? "large" : "answer"}>${short}</p>`}<p>${summary}</p></div>`;
}

const WHY = { pending: "has not begun", running: "goes on", approval: "waits for an approval", in_doubt: "waits for a word about a step in doubt" };

const doneOf = ({ done, total }) => `${done}${total ? ` of ${total}` : ""}`;

export function nowOf({ current, plan, limits, waits_for_run: before, result }, answer, progress) {
  const step = plan.steps[current?.step - 1], due = Date.parse(current?.not_before);
  return html`${current && html`<p class=now><b>step ${current.step}</b> <code>${step?.tool}</code> ${brief(step?.input)} · attempt ${current.attempt} of ${limits.max_attempts}
      ${due > clock.now() && html` · waits until ${timeOf(current.not_before, clockTime)}, <${Countdown} until=${due - clock.skew}>due<//>`}</p>`}
    ${before && html`<p class=now>Behind <a href="#/runs/${before.run_id}">the run before</a>, which ${WHY[before.why]}.</p>`}
    ${progress && html`<p class=now><progress max=${progress.total} value=${progress.total && progress.done} aria-label="Progress of the attempt"></progress>
      <span class=number> ${doneOf(progress)}</span> ${progress.message}</p>`}
    ${!result && answer.text && html`<p class="answer streamed">${answer.text}</p>`}`;
}

// Tells screen readers how a run stands, not more often than one can listen, in ms, but errors at once.
export function Spoken({ of: { status, current, error, result }, progress }) {
  const [said, say] = useState(""), text = useRef();
  text.current = [status, current && `step ${current.step}, attempt ${current.attempt}`, progress && doneOf(progress),
    error?.message ?? result?.answer?.text ?? result?.summary].filter(Boolean).join(", ");
  useEffect(() => say(text.current), [!error]);
  useEffect(() => every(5000, () => say(text.current)), []);
  return html`<p class=hidden role=status>${said}</p>`;
}
