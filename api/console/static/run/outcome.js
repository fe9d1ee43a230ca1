// What came of a run, and its answer while it is given.
import { html, listed, useEffect, useRef, useState } from "../words.js";

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
export function heard({ text, at }, { text: words, offset }) {
  const next = offset + Array.from(words).length;
  return { text: offset ? `${text}${offset > at ? "… " : ""}${words}` : words, at: next };
}

export const Metadata = ({ of }) => Object.entries(of.metadata ?? {}).map(([name, text]) => html` <span class=tag>${name}: ${text}</span>`);

const again = prompt => `#/?${new URLSearchParams({ prompt })}`;

export function Outcome({ record, causes = [] }) {
  const { result, error } = record;
  if (error) {
    return html`<div class="outcome bad"><p><b>${error.message}</b></p>
      ${causes.slice(1).map(cause => html`<p class=quiet>because ${cause.message}</p>`)}
      ${error.examples[0] && html`<p class=quiet>These would be understood: ${listed(error.examples, one => html`<a href=${again(one)}><q>${one}</q></a>`)}.</p>`}
      ${error.unparsed?.[0] && html`<p>Nothing was done. <a href=${again(record.prompt)}>Edit and run</a></p>`}</div>`;
  }
  if (!result) return null;
  const { answer, output, summary } = result;
  const short = answer?.text ?? (typeof output !== "object" ? String(output) : null);
  return html`<div class="outcome good">${short !== null && html`<p class=${short.length < 40 ? "large" : "answer"}>${short}</p>`}<p>${summary}</p></div>`;
}

// How often a screen reader is told how it stands, in ms.
const QUIET = 5000;

// What it is told of a run, in one line.
export const spokenOf = ({ status, current, error, result }, progress) => [
  status, current && `step ${current.step}, attempt ${current.attempt}`, progress && `${progress.done}${progress.total ? ` of ${progress.total}` : ""}`,
  error?.message ?? result?.answer?.text ?? result?.summary,
].filter(Boolean).join(", ");

// Says a text to those who cannot see what changes, not more often than they can listen.
export function Spoken({ text }) {
  const [said, say] = useState("");
  const last = useRef(0);
  useEffect(() => {
    const timer = setTimeout(() => { last.current = Date.now(); say(text); }, Math.max(0, last.current + QUIET - Date.now()));
    return () => clearTimeout(timer);
  }, [text]);
  return html`<p class=hidden role=status>${said}</p>`;
}
