// One attempt at a step, or one call of a planner: all that the record says of it.
import { clockTime, duration, html, json, money, Status, Time, Value } from "../words.js";

const Field = ({ name, children }) => html`<div class="field"><dt>${name}</dt><dd>${children}</dd></div>`;

// What of the plan's input was a reference to an earlier output.
function references(record, entry) {
  const planned = record.plan.steps[entry.step - 1]?.input;
  return planned && JSON.stringify(planned) !== JSON.stringify(entry.input) ? planned : null;
}

function Attempt({ record, index }) {
  const entry = record.execution_log[index];
  if (!entry) return null;
  const template = references(record, entry);
  const href = `runs/${record.run_id}/log/${index + 1}/output`;
  const ended = new Date(Date.parse(entry.started_at) + entry.duration_ms).toISOString();
  return html`<section class="detail card" aria-labelledby="d-title">
    <h2 id="d-title"><b class="step">${entry.step}</b> <code>${entry.tool}</code> <small>attempt ${entry.attempt} of ${record.limits.max_attempts}</small></h2>
    <p class="fate"><${Status} status=${entry.status} /> <span class="number">${duration(entry.duration_ms)}</span>
      <span class="quiet number"> ${clockTime(entry.started_at, true)} → ${clockTime(ended, true)}</span></p>
    ${entry.error && html`<div class="error"><b>${entry.error.type}</b> ${entry.error.message}
      <p class="quiet">${entry.status === "in_doubt" ? "So it is not called again by itself." : entry.error.retryable ? "Another attempt may succeed." : "Another would fail alike."}
        ${entry.retry_at && html` The next one is due at <${Time} time=${entry.retry_at} exact />.`}</p></div>`}
    <dl>
      <${Field} name="Input"><${Value} value=${entry.input} /><//>
      ${template && html`<${Field} name="As planned"><${Value} value=${template} /><//>`}
      ${entry.status === "ok" && html`<${Field} name="Output"><${Value} value=${entry.output} href=${href} /><//>`}
      ${entry.may_have_acted && html`<${Field} name="Effects">It may have changed something.<//>`}
      ${entry.thread_running && html`<${Field} name="Left behind">Its tool could not be stopped; it may still run.<//>`}
      ${entry.changed?.length > 0 && html`<${Field} name="Changed since">${entry.changed.join(", ")}<//>`}
      ${entry.generation > 0 && html`<${Field} name="Generation">${entry.generation}<//>`}
    </dl></section>`;
}

function PlanningCall({ record, index }) {
  const entry = record.planning_log[index];
  if (!entry) return null;
  const tokens = entry.input_tokens !== null && `${entry.input_tokens} → ${entry.output_tokens} tokens, ${money(entry.usd)}`;
  return html`<section class="detail card" aria-labelledby="d-title">
    <h2 id="d-title">${entry.model ?? "pattern planner"} <small>round ${entry.round ?? 1}</small></h2>
    <p class="fate"><${Status} status=${entry.outcome} /> <span class="number">${duration(entry.duration_ms)}</span>
      <span class="quiet number"> from ${clockTime(entry.started_at, true)}</span></p>
    ${entry.error_class && html`<div class="error"><b>${entry.error_class}</b> ${entry.transient ? "It may pass by itself." : ""}</div>`}
    <dl>
      ${tokens && html`<${Field} name="Cost">${tokens}<//>`}
      ${entry.queued_ms > 0 && html`<${Field} name="Waited for its turn">${duration(entry.queued_ms)}<//>`}
      ${entry.reasons.length > 0 && html`<${Field} name="Reasons"><ul>${entry.reasons.map((reason) => html`<li>${reason}</li>`)}</ul><//>`}
      ${entry.rejected_plan && html`<${Field} name="Rejected plan"><${Value} value=${json(entry.rejected_plan)} /><//>`}
      ${entry.raw && html`<${Field} name="Its answer"><${Value} value=${entry.raw} /><//>`}
      ${entry.shortlist && html`<${Field} name="Told of">${entry.shortlist.join(", ")}<//>`}
    </dl></section>`;
}

// The attempt that is being made: what is known of it before it is logged.
function Current({ record, explained, progress }) {
  const { current } = record, step = current && record.plan.steps[current.step - 1];
  if (!step) return null;
  const begun = new Date(Date.parse(record.created_at) + (explained.spans.at(-1)?.start_ms ?? 0)).toISOString();
  return html`<section class="detail card" aria-labelledby="d-title">
    <h2 id="d-title"><b class="step">${current.step}</b> <code>${step.tool}</code> <small>attempt ${current.attempt} of ${record.limits.max_attempts}</small></h2>
    <p class="fate"><${Status} status="running" /> <span class="quiet number">since ${clockTime(begun, true)}, at most ${duration(record.limits.step_timeout * 1000)}</span></p>
    <dl><${Field} name="As planned"><${Value} value=${step.input} /><//>
      ${progress && html`<${Field} name="Progress"><${Progress} progress=${progress} /><//>`}</dl></section>`;
}

export const Progress = ({ progress }) => html`<progress max=${progress.total ?? undefined} value=${progress.total ? progress.done : undefined} aria-label="Progress of the attempt"></progress>
  <span class="number"> ${progress.done}${progress.total ? ` of ${progress.total}` : ""}</span> ${progress.message ?? ""}`;

// `at` is "c", or "a" or "p" with the place in the log of attempts or of planning.
export function Detail({ record, explained, progress, at }) {
  if (at === "c") return html`<${Current} record=${record} explained=${explained} progress=${progress} />`;
  const index = Number(at.slice(1));
  return at[0] === "a" ? html`<${Attempt} record=${record} index=${index} />` : html`<${PlanningCall} record=${record} index=${index} />`;
}
