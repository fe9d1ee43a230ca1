// One run: what was asked, where it is, where its time went, and what can be done with it.
import { useEffect, useRef, useState } from "../vendor/hooks.mjs";
import { call, clock, follow, useReading } from "../api.js";
import { brief, counted, Countdown, duration, html, money, pieces, SETTLED, Status, Time } from "../words.js";
import { Actions } from "./actions.js";
import { Detail, Progress } from "./detail.js";
import { Graph } from "./graph.js";
import { EVENTS, heard, MOST, Outcome, SILENT, Spoken } from "./outcome.js";
import { Tabs } from "./tabs.js";
import { Waterfall } from "./waterfall.js";

// The record and its explanation, read again after what happens; one reading at a time.
function useRun(id) {
  const [run, show] = useState(null);
  const [wrong, tell] = useState(null);
  const [progress, advance] = useState(null);
  const [answer, say] = useState(SILENT);
  const state = useRef({}).current;

  const reload = useReading(async () => {
    try {
      const [record, explained] = await Promise.all([call(`runs/${id}?max_value_bytes=${MOST}`), call(`runs/${id}/explain`)]);
      clock.sync(record.server_time);
      const settled = SETTLED.has(record.status), known = settled && record.last_event_id === state.last;
      state.last = record.last_event_id;
      if (settled) advance(null);
      if (!known) show({ record, explained });
      tell(null);
    } catch (problem) { tell(problem); }
  });
  const settled = run ? SETTLED.has(run.record.status) : null;
  useEffect(() => { reload(); }, [id]);
  useEffect(() => {
    if (settled === null) return undefined;
    // A settled run has no more events, unless somebody retries it: all changes tell of that.
    if (settled) return follow(() => "runs/stream", ["run.changed"], (type, change) => { if (type !== "run.changed" || change.run_id === id) reload(); });
    return follow((last) => `runs/${id}/stream?after=${last}`, EVENTS, (type, event) => {
      if (type === "step.progress") advance(event);
      else if (type === "answer.delta") say((before) => heard(before, event));
      // It goes on from the record that is shown.
      else if (type !== "opened" || event > 0) {
        if (type === "step.started") advance(null);
        reload();
      }
    }, state.last);
  }, [id, settled]);
  return { run, wrong, reload, progress, answer };
}

function Sentence({ record, lit, light, select }) {
  const unparsed = (record.error?.unparsed ?? []).map((one) => ({ ...one, kind: "unplaced" }));
  const marked = pieces(record.prompt, [...record.plan.steps, ...unparsed]);
  return html`<h1 class="sentence">${marked.map(({ text, over }) => {
    const step = over.find((one) => one.step);
    if (over.some((one) => one.kind)) return html`<span class="unplaced" title="not understood">${text}</span>`;
    if (!step) return text;
    const made = record.execution_log.findLastIndex((entry) => entry.step === step.step);
    return html`<button class=${`placed ${lit === step.step ? "lit" : ""}`} onMouseEnter=${() => light(step.step)} onMouseLeave=${() => light(null)} onFocus=${() => light(step.step)} onBlur=${() => light(null)}
      onClick=${() => made >= 0 && select(`a${made}`)} title=${`step ${step.step}: ${step.tool}`}>${text}<sup class="step">${step.step}</sup></button>`;
  })}</h1>`;
}

// What happened, in one line of figures.
function Facts({ record, explained }) {
  const by = record.planned_by, tokens = record.usage.input_tokens + record.usage.output_tokens;
  const taken = record.marks.filter((mark) => mark.what === "taken_up").length;
  const facts = [
    SETTLED.has(record.status) && duration(explained.total_ms),
    record.progress.of && `${record.progress.done} of ${counted(record.progress.of, "step")} done`,
    counted(record.execution_log.length, "attempt"),
    by && `planned by ${by.model ?? (by.source === "pattern" ? "the pattern planner" : "the caller")}`,
    record.usage.calls > 0 && `${counted(record.usage.calls, "call")} of models, ${tokens} tokens, ${money(record.usage.usd)}`,
    taken > 0 && `taken up again ${taken === 1 ? "once" : `${taken} times`}`,
    record.queue_position && `place ${record.queue_position} in the queue`,
  ].filter(Boolean);
  return html`<p class="facts">${facts.map((fact, index) => html`${index > 0 && html`<span aria-hidden="true"> · </span>`}<span>${fact}</span>`)}</p>`;
}

function Now({ record, progress, answer }) {
  const current = record.current, step = record.plan.steps[current?.step - 1];
  const wait = current?.not_before && Date.parse(current.not_before) > clock.now();
  return html`${current && html`<p class="now"><b>step ${current.step}</b> <code>${step?.tool}</code>${" "}
      ${brief(step?.input)} · attempt ${current.attempt} of ${record.limits.max_attempts}
      ${wait && html` · waits until <${Time} time=${current.not_before} exact />, <${Countdown} until=${Date.parse(current.not_before) - clock.skew}>due<//>`}</p>`}
    ${record.waits_for_run && html`<p class="now">It begins when <a href=${`#/runs/${record.waits_for_run.run_id}`}>the run before it</a> in its thread has ended.</p>`}
    ${progress && html`<p class="now"><${Progress} progress=${progress} /></p>`}
    ${answer.text && !record.result && html`<p class="answer streamed">${answer.text}</p>`}`;
}

// Why there may be no such run, by how long this server keeps them.
function Gone() {
  const [days, tell] = useState(null);
  useEffect(() => { call("doctor").then(({ settings }) => tell(settings.find((one) => one.name === "RUNWRIGHT_RETENTION")?.value), () => {}); }, []);
  return html`<p class="quiet">Somebody may have deleted it${days === 0 ? "; this server removes none by itself" : html`, or it was settled more than ${days ?? "RUNWRIGHT_RETENTION"} days ago and removed (<code>RUNWRIGHT_RETENTION</code>)`}.</p>`;
}

// What a screen reader is told of it, in one line.
const spokenOf = ({ status, current, error, result }, progress) => [
  status, current && `step ${current.step}, attempt ${current.attempt}`, progress && `${progress.done}${progress.total ? ` of ${progress.total}` : ""}`,
  error?.message ?? result?.answer?.text ?? result?.summary,
].filter(Boolean).join(", ");

export default function Run({ id }) {
  const { run, wrong, reload, progress, answer } = useRun(id);
  const [at, select] = useState(null);
  const [lit, light] = useState(null);
  const followed = useRef(false);
  const record = run?.record;

  useEffect(() => { if (record) document.title = `${record.status}: ${record.prompt.slice(0, 60)} · Runwright`; }, [record?.status]);
  // The eye is led to what went wrong; else to the attempt that was made last.
  useEffect(() => {
    if (!record || followed.current) return;
    const log = record.execution_log;
    const bad = log.findLastIndex((entry) => entry.status !== "ok");
    if (record.status === "failed" && bad >= 0) select(`a${bad}`);
    else if (record.current && !record.current.not_before) select("c");
    else if (log.length) select(`a${log.length - 1}`);
    else if (record.planning_log.length) select(`p${record.planning_log.length - 1}`);
  }, [record?.status, record?.execution_log.length, record?.planning_log.length]);
  const choose = (place) => { followed.current = true; select(place); };

  if (wrong && !record) {
    if (wrong.status === 401) return null;
    return html`<section class="card"><h1>${wrong.title}</h1><p class="wrong" role="alert">${wrong.message}</p>
      ${wrong.status === 404 && html`<${Gone} />`}<p><a href="#/">All runs</a></p></section>`;
  }
  if (!record) return html`<p class="quiet" role="status">Reading the run …</p>`;
  return html`<article class="run">
    <p class="crumb"><a href="#/">‹ Runs</a> <code class="quiet">${id}</code>
      ${Object.entries(record.metadata ?? {}).map(([name, text]) => html` <span class="tag">${name}: ${text}</span>`)}
      ${record.thread_id && html` of <a href=${`#/threads/${record.thread_id}`}>its thread</a>${record.conversation && `, with ${counted(record.conversation.turns.length, "earlier run")} in mind`}`}
      ${record.forked_from && html` forked from <a href=${`#/runs/${record.forked_from.run_id}`}>${record.forked_from.run_id.slice(0, 8)}</a>`}
      ${record.forks.length > 0 && html` forks: ${record.forks.map((fork) => html` <a href=${`#/runs/${fork}`}>${fork.slice(0, 8)}</a>`)}`}</p>
    <${Sentence} record=${record} lit=${lit} light=${light} select=${choose} />
    <div class="state"><${Status} status=${record.status} /><${Facts} record=${record} explained=${run.explained} /></div>
    <${Outcome} record=${record} causes=${run.explained.causes} /><${Now} record=${record} progress=${progress} answer=${answer} />
    <${Spoken} text=${spokenOf(record, progress)} />
    ${wrong && wrong.status !== 0 && html`<p class="wrong" role="alert">${wrong.message}</p>`}
    <${Actions} record=${record} reload=${reload} at=${at} />
    <${Graph} record=${record} />
    <div class="beside">
      <${Waterfall} record=${record} explained=${run.explained} select=${choose} chosen=${at} lit=${lit} light=${light} />
      ${at && html`<${Detail} record=${record} explained=${run.explained} progress=${progress} at=${at === "c" && !record.current ? `a${record.execution_log.length - 1}` : at} />`}
    </div>
    <ul class="sentences-told">${run.explained.sentences.map((sentence) => html`<li>${sentence}</li>`)}</ul>
    <${Tabs} record=${record} />
  </article>`;
}
