// One attempt at a step, or one call of a planner: all that the record says of it.
import { clockTime, duration, html, json, money, Status, Step, Time, Value } from "../words.js";

// `fields` are pairs of a name and what is said under it; those of nothing are left out.
const Panel = ({ title, small, status, time, error, fields }) => html`<section class="detail card" aria-labelledby=d-title>
  <h2 id=d-title>${title} <small>${small}</small></h2>
  <p class=fate><${Status} status=${status} /> <span class="quiet number">${time}</span></p>
  ${error && html`<div class=error>${error}</div>`}
  <dl>${fields.filter(([, said]) => said).map(([name, said]) => html`<div class=field><dt>${name}</dt><dd>${said}</dd></div>`)}</dl></section>`;

const value = (of, href) => html`<${Value} value=${of} href=${href} />`;

const titled = ({ step, tool, attempt }, { limits }) => ({ title: html`<${Step} of=${step} tool=${tool} />`, small: `attempt ${attempt} of ${limits.max_attempts}` });

function Attempt({ record, index }) {
  const entry = record.execution_log[index];
  if (!entry) return null;
  const { status, error, started_at, duration_ms } = entry;
  const planned = record.plan.steps[entry.step - 1]?.input;
  return html`<${Panel} ...${titled(entry, record)} status=${status}
    time="${duration(duration_ms)} · ${clockTime(started_at, true)} → ${clockTime(Date.parse(started_at) + duration_ms, true)}"
    error=${error && html`<b>${error.type}</b> ${error.message}
      <p class=quiet>${status === "in_doubt" ? "So it is not called again by itself." : error.retryable ? "Another attempt may succeed." : "Another would fail alike."}
        ${entry.retry_at && html` The next one is due at <${Time} time=${entry.retry_at} exact />.`}</p>`}
    fields=${[
      ["Input", value(entry.input)],
      // What of the plan's input was a reference to an earlier output.
      ["As planned", planned && json(planned) !== json(entry.input) && value(planned)],
      ["Output", status === "ok" && value(entry.output, `runs/${record.run_id}/log/${index + 1}/output`)],
      ["Effects", entry.may_have_acted && "It may have changed something."],
      ["Left behind", entry.thread_running && "Its tool could not be stopped; it may still run."],
      ["Changed since", entry.changed?.join(", ")],
      ["Generation", entry.generation],
      ["Key, the same for every attempt", entry.step_key && html`<code>${entry.step_key}</code>`],
    ]} />`;
}

function PlanningCall({ record, index }) {
  const entry = record.planning_log[index];
  if (!entry) return null;
  return html`<${Panel} title=${entry.model ?? "pattern planner"} small="round ${entry.round ?? 1}" status=${entry.outcome} time="${duration(entry.duration_ms)} from ${clockTime(entry.started_at, true)}"
    error=${entry.error_class && html`<b>${entry.error_class}</b> ${entry.transient && "It may pass by itself."}`}
    fields=${[
      ["Cost", entry.input_tokens !== null && `${entry.input_tokens} → ${entry.output_tokens} tokens, ${money(entry.usd)}`],
      ["Waited for its turn", entry.queued_ms && duration(entry.queued_ms)],
      ["Reasons", entry.reasons[0] && html`<ul>${entry.reasons.map(reason => html`<li>${reason}</li>`)}</ul>`],
      ["Rejected plan", entry.rejected_plan && value(entry.rejected_plan)],
      ["Its answer", entry.raw && value(entry.raw)],
      ["Told of", entry.shortlist?.join(", ")],
    ]} />`;
}

// The attempt that is being made: what is known of it before it is logged.
function Current({ record, explained }) {
  const { current, limits } = record, step = record.plan.steps[current?.step - 1];
  if (!step) return null;
  const begun = Date.parse(record.created_at) + (explained.spans.at(-1)?.start_ms ?? 0);
  return html`<${Panel} ...${titled({ ...current, tool: step.tool }, record)} status=running time="since ${clockTime(begun, true)}, at most ${duration(limits.step_timeout * 1000)}"
    fields=${[["As planned", value(step.input)]]} />`;
}

// `at` is "c", or "a" or "p" with the place in the log of attempts or of planning.
export const Detail = ({ at, ...given }) => html`<${{ a: Attempt, p: PlanningCall, c: Current }[at[0]]} index=${Number(at.slice(1))} ...${given} />`;
