// What came of a run, and its answer while it is given.
import { useEffect, useRef, useState } from "../vendor/hooks.mjs";
import { html } from "../words.js";

// Longer values come shortened; they are to be downloaded whole.
export const MOST = 4096;

export const EVENTS = [
  "run.queued", "run.started", "run.taken_up", "plan.started", "plan.attempt", "plan.fallback", "plan.made",
  "step.started", "step.failed", "step.completed", "step.in_doubt", "step.progress", "run.waiting", "run.approved",
  "run.rejected", "run.expired", "run.resolved", "run.cancelling", "run.retried", "run.completed", "run.failed",
  "run.cancelled", "answer.attempt", "answer.delta", "end",
];

// The answer so far, and at which character of it one is.
export const SILENT = { text: "", at: 0 };

// The same with its next words: those at 0 are a new beginning, and before others some may have been missed.
export function heard({ text, at }, words) {
  const next = words.offset + Array.from(words.text).length;
  if (words.offset === 0) return { text: words.text, at: next };
  return { text: `${text}${words.offset > at ? "… " : ""}${words.text}`, at: next };
}

const again = (prompt) => `#/?${new URLSearchParams({ prompt })}`;

export function Outcome({ record, causes = [] }) {
  const { result, error } = record;
  if (error) {
    return html`<div class="outcome bad"><p><b>${error.message}</b></p>
      ${causes.slice(1).map((cause) => html`<p class="because">because ${cause.message}</p>`)}
      ${error.examples.length > 0 && html`<p class="quiet">These would be understood: ${error.examples.map((one, index) => html`${index > 0 && ", "}<a href=${again(one)}><q>${one}</q></a>`)}.</p>`}
      ${error.unparsed?.length > 0 && html`<p>Nothing was done. <a href=${again(record.prompt)}>Edit and run</a></p>`}</div>`;
  }
  if (!result) return null;
  const output = result.output;
  const short = result.answer?.text ?? (["string", "number", "boolean"].includes(typeof output) ? String(output) : null);
  return html`<div class="outcome good">${short !== null && html`<p class=${short.length < 40 ? "large" : "answer"}>${short}</p>`}<p>${result.summary}</p></div>`;
}

// How often a screen reader is told how it stands, in ms.
const QUIET = 5000;

// Says a text to those who cannot see what changes, not more often than they can listen.
export function Spoken({ text }) {
  const [said, say] = useState("");
  const last = useRef(0);
  useEffect(() => {
    const timer = setTimeout(() => { last.current = Date.now(); say(text); }, Math.max(0, last.current + QUIET - Date.now()));
    return () => clearTimeout(timer);
  }, [text]);
  return html`<p class="hidden" role="status">${said}</p>`;
}
