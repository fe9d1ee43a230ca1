// All that the record says of an attempt at a step, or a call of a planner.
import { clockTime, duration, html, json, money, stateOf, stepOf, timeOf, valueOf } from "../words.js";

const panel = (title, small, status, time, error, fields) => html`<section class="detail card" aria-labelledby=d-title>
  <h2 id=d-title>${title} <small>${small}</small></h2>
  <p class=fate>${stateOf(status)} <span class="quiet number">${time}</span></p>
  ${error && html`<div class=error>${error}</div>`}
  <dl>${Object.entries(fields).filter(([, said]) => said).map(([name, said]) => html`<div class=field><dt>${name}</dt><dd>${said}</dd></div>`)}</dl></section>`;

const attemptOf = ({ limits }, { attempt }) => `attempt ${attempt} of ${limits.max_attempts}`;

function attempt(record, entry, index) {
  const { step, tool, status, error, input, output, started_at, duration_ms, retry_at, may_have_acted, thread_running, changed, generation, step_key } = entry;
  const planned = record.plan.steps[step - 1]?.input;
  return panel(stepOf(step, tool), attemptOf(record, entry), status,
    `${duration(duration_ms)} · ${clockTime(started_at, true)} → ${clockTime(Date.parse(started_at) + duration_ms, true)}`,
    error && html`<b>${error.type}</b> ${error.message}
      <p class=quiet>${status === "in_doubt" ? "So it is not called again by itself." : error.retryable ? "Another attempt may succeed." : "Another would fail alike."}
        ${retry_at && html` The next one is due at ${timeOf(retry_at, true)}.`}</p>`, {
      Input: valueOf(input),
      // What of the plan's input was a reference to an earlier output.
      "As planned": planned && json(planned) !== json(input) && valueOf(planned),
      Output: status === "ok" && valueOf(output, `runs/${record.run_id}/log/${index + 1}/output`),
      Effects: may_have_acted && "It may have changed something.",
      "Left behind": thread_running && "Its tool could not be stopped; it may still run.",
      "Changed since": changed?.join(", "),
      Generation: generation,
      "Key, the same for every attempt": step_key && html`<code>${step_key}</code>`,
    });
}

const planning = ({ model, round = 1, outcome, duration_ms, started_at, error_class, transient, input_tokens, output_tokens, usd, queued_ms, reasons, rejected_plan, raw, shortlist }) =>
  panel(model ?? "pattern planner", `round ${round}`, outcome, `${duration(duration_ms)} from ${clockTime(started_at, true)}`,
    error_class && html`<b>${error_class}</b> ${transient && "It may pass by itself."}`, {
      Cost: input_tokens !== null && `${input_tokens} → ${output_tokens} tokens, ${money(usd)}`,
      "Waited for its turn": queued_ms && duration(queued_ms),
      Reasons: reasons[0] && html`<ul>${reasons.map(reason => html`<li>${reason}</li>`)}</ul>`,
      "Rejected plan": rejected_plan && valueOf(rejected_plan),
      "Its answer": raw && valueOf(raw),
      "Told of": shortlist?.join(", "),
    });

// The attempt that is being made, which is not logged yet.
function current(record, { spans }) {
  const { current: made, limits, created_at, plan } = record, step = plan.steps[made?.step - 1];
  const begun = Date.parse(created_at) + (spans.at(-1)?.start_ms ?? 0);
  return step && panel(stepOf(step.step, step.tool), attemptOf(record, made), "running",
    `since ${clockTime(begun, true)}, at most ${duration(limits.step_timeout * 1000)}`, null, { "As planned": valueOf(step.input) });
}

// `at` is "c", or "a" or "p" with the place in the log of attempts or of planning.
export function detailOf(at, record, explained) {
  const index = Number(at.slice(1)), log = { a: record.execution_log, p: record.planning_log }[at[0]];
  if (at === "c") return current(record, explained);
  return log?.[index] && (at[0] === "a" ? attempt(record, log[index], index) : planning(log[index]));
}
