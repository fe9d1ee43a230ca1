// One run: what was asked, where it is, where its time went, and what can be done with it.
import { call, clock, useRead } from "../api.js";
import { counted, duration, facts, html, isSettled, money, pieces, refusal, stateOf, unread, useEffect, useMemo, useRef, useState } from "../words.js";
import { Actions } from "./actions.js";
import { Graph } from "./graph.js";
import { metadataOf, nowOf, outcomeOf, recordOf, Spoken, useFollowed } from "./outcome.js";
import { Tabs } from "./tabs.js";
import { detailOf, Waterfall } from "./waterfall.js";

function useRun(id) {
  const known = useRef(null);
  const [run, wrong, reload] = useRead(async () => {
    const explain = () => call(`runs/${id}/explain`);
    let [record, explained] = await Promise.all([recordOf(id), explain()]);
    clock.sync(record.server_time);
    if (isSettled(record)) {
      // The run may have ended between the two answers.
      if (explained.until !== record.completed_at) explained = await explain();
      // Where nothing has changed, nothing is drawn anew.
      if (known.current?.record.last_event_id === record.last_event_id && isSettled(known.current.record)) return known.current;
    }
    return known.current = { record, explained };
  }, id);
  // A settled run has no more events, unless somebody retries it.
  return { run, wrong, reload, ...useFollowed(run, run && !isSettled(run.record) && run.record, reload, change => change.run_id === id) };
}

function Sentence({ record: { prompt, plan: { steps }, error, execution_log } }) {
  // A plan of hundreds of steps is not drawn anew because one of them was made.
  return useMemo(() => html`<h1 class=sentence>${pieces(prompt, [...steps, ...error?.unparsed ?? []]).map(({ text, over }) => {
    if (!over[0]) return text;
    const { step, tool } = over.at(-1), made = execution_log.findLastIndex(entry => entry.step === step);
    return step ? html`<button class=placed data-step=${step} data-to=${made < 0 ? null : `a${made}`} title="step ${step}: ${tool}">${text}<sup class=step>${step}</sup></button>`
      : html`<span class=unplaced title="not understood">${text}</span>`;
  })}</h1>`, [prompt, !error, execution_log.length, steps.map(({ tool, span }) => `${tool} ${span}`).join()]);
}

function light({ currentTarget, target }) {
  const step = target.closest("[data-step]")?.dataset.step;
  for (const one of currentTarget.querySelectorAll("[data-step]")) one.classList.toggle("lit", one.dataset.step === step);
}

function Facts({ record: { planned_by: by, usage, progress, queue_position: place, execution_log }, explained: { total_ms, retries: { taken_up } }, settled }) {
  const [health] = useRead(async () => place && call("health"), place), pace = health?.runs.ends_per_s;
  return html`<p class=facts>${facts(
    settled && duration(total_ms),
    progress.of && `${progress.done} of ${counted(progress.of, "step")} done`,
    counted(execution_log.length, "attempt"),
    by && `planned by ${by.model ?? (by.source === "pattern" ? "the pattern planner" : "the caller")}`,
    usage.calls > 0 && `${counted(usage.calls, "call")} of models, ${usage.input_tokens + usage.output_tokens} tokens, ${money(usage.usd)}`,
    taken_up > 0 && `taken up again ${taken_up === 1 ? "once" : `${taken_up} times`}`,
    place && `place ${place} in the queue${pace ? `, about ${duration(place / pace * 1000)}` : ""}`)}</p>`;
}

function Gone() {
  const [told] = useRead("doctor"), days = told?.settings.find(({ name }) => name === "RUNWRIGHT_RETENTION")?.value;
  return html`<p class=quiet>Somebody may have deleted it${days === 0 ? "; this server removes none by itself" : html`, or it was settled more than ${days} days ago and removed (<code>RUNWRIGHT_RETENTION</code>)`}.</p>`;
}

// The eye is led to what went wrong; else to the attempt that was made last.
function first({ status, execution_log: log, planning_log, current }) {
  const bad = status === "failed" ? log.findLastIndex(entry => entry.status !== "ok") : -1;
  if (bad < 0 && current && !current.not_before) return "c";
  if (log[0]) return `a${bad < 0 ? log.length - 1 : bad}`;
  return planning_log[0] && `p${planning_log.length - 1}`;
}

const link = run => html` <a href="#/runs/${run}">${run.slice(0, 8)}</a>`;

export default function Run({ id, query }) {
  const [chosen, select] = useState(query.get("at")), { run, wrong, reload, progress, answer } = useRun(id), { record, explained } = run ?? {};
  // Words, bars and the names of rows lead to an attempt.
  const choose = ({ target }) => {
    const { at, to = at } = target.closest("[data-at], [data-to]")?.dataset ?? {};
    if (!to) return;
    select(to);
    history.replaceState(null, "", `#/runs/${id}?at=${to}`);
  };
  useEffect(() => { if (run) document.title = `${record.status}: ${record.prompt.slice(0, 60)} · Runwright`; }, [record?.status]);
  if (!run) {
    return !wrong || wrong.status === 401 ? unread(wrong) : html`<section class=card><h1>${wrong.title}</h1>${refusal(wrong)}
      ${wrong.status === 404 && html`<${Gone} />`}<p><a href="#/">All runs</a></p></section>`;
  }
  const { conversation, forked_from, forks, posted_by, thread_id, metadata, status } = record;
  const at = chosen && (chosen !== "c" || record.current) ? chosen : first(record);
  return html`<article class=run onClick=${choose} onMouseOver=${light} onMouseLeave=${light} onFocusIn=${light}>
    <p class=crumb><a href="#/">‹ Runs</a> <code class=quiet>${id}</code>${metadataOf(metadata)}
      ${posted_by && ` ${forked_from ? "forked" : "posted"} by ${posted_by},`}
      ${thread_id && html` of <a href="#/threads/${thread_id}">its thread</a>${conversation && `, with ${counted(conversation.turns.length, "earlier run")} in mind`}`}
      ${forked_from && html` forked from${link(forked_from.run_id)}`}${forks[0] && html` forks:${forks.map(link)}`}</p>
    <${Sentence} record=${record} />
    <div class=state>${stateOf(status)}<${Facts} record=${record} explained=${explained} settled=${isSettled(record)} /></div>
    ${outcomeOf(record, explained.causes)}${nowOf(record, answer, progress)}
    <${Spoken} of=${record} progress=${progress} />${wrong?.status > 0 && refusal(wrong)}
    <${Actions} record=${record} reload=${reload} />
    <${Graph} record=${record} />
    <div class=beside><${Waterfall} record=${record} explained=${explained} chosen=${at} />${at && detailOf(at, record, explained)}</div>
    <ul class=sentences-told>${explained.sentences.map(sentence => html`<li>${sentence}</li>`)}</ul>
    <${Tabs} record=${record} /></article>`;
}
