// What came of a run, and its answer while it is given.
import { follow, followChanges } from "../api.js";
import { html, listed, useEffect, useRef, useState } from "../words.js";

// Longer values come shortened; they are to be downloaded whole.
export const MOST = 4096;

const OF = {
  run: "queued started taken_up waiting approved rejected expired resolved cancelling retried completed failed cancelled",
  plan: "started attempt fallback made", step: "started failed completed in_doubt progress", answer: "attempt delta",
};
const EVENTS = ["end", ...Object.entries(OF).flatMap(([of, all]) => all.split(" ").map(one => `${of}.${one}`))];

// The answer so far, and at which character of it one is.
export const SILENT = { text: "", at: 0 };

// The same with its next words: those at 0 are a new beginning, and before others some may have been missed.
export const heard = ({ text, at }, { text: words, offset }) => ({
  text: offset ? `${text}${offset > at ? "… " : ""}${words}` : words, at: offset + Array.from(words).length,
});

// Once the record was read, follows a run from it on, or without one the changes of all; its answer so
// far, and its progress.
export function useFollowed(read, record, reload, concerns) {
  const [answer, say] = useState(SILENT), [progress, advance] = useState(null);
  useEffect(() => {
    if (!read) return;
    say(SILENT);
    advance(null);
    if (!record) return followChanges(reload, concerns);
    return follow(last => `runs/${record.run_id}/stream?after=${last}`, EVENTS, (type, event) => {
      if (type === "step.progress") return advance(event);
      if (type === "answer.delta") return say(before => heard(before, event));
      if (type === "step.started") advance(null);
      if (type !== "opened" || event > 0) reload(); // at first it goes on from the record that is shown
    }, record.last_event_id);
  }, [!read, record?.run_id]);
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

// How often a screen reader is told how it stands, in ms.
const QUIET = 5000;

// What it is told of a run, in one line.
export const spokenOf = ({ status, current, error, result }, progress) => [
  status, current && `step ${current.step}, attempt ${current.attempt}`, progress && done(progress), error?.message ?? result?.answer?.text ?? result?.summary,
].filter(Boolean).join(", ");

export const done = ({ done, total }) => `${done}${total ? ` of ${total}` : ""}`;

// Says a text to those who cannot see what changes, not more often than they can listen.
export function Spoken({ text }) {
  const [said, say] = useState(""), last = useRef(0);
  useEffect(() => {
    const timer = setTimeout(() => { last.current = Date.now(); say(text); }, Math.max(0, last.current + QUIET - Date.now()));
    return () => clearTimeout(timer);
  }, [text]);
  return html`<p class=hidden role=status>${said}</p>`;
}
