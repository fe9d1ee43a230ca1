// A thread as a conversation: what was asked, and what came of it, answered as it streams.
import { useEffect, useRef, useState } from "../vendor/hooks.mjs";
import { call, follow, useReading } from "../api.js";
import { counted, html, SETTLED, Status, Time, Wrong } from "../words.js";
import { EVENTS, heard, MOST, Outcome, SILENT, Spoken } from "../run/outcome.js";

// So many of its runs are shown at first, and so many more each time.
const PAGE = 10;

const WHY = { pending: "has not begun", running: "goes on", approval: "waits for an approval", in_doubt: "waits for a word about a step in doubt" };

// The thread and the records of its newest runs, oldest first; those that have ended are read once.
function useThread(id) {
  const [told, show] = useState(null);
  const [wrong, tell] = useState(null);
  const [most, widen] = useState(PAGE);
  const [answer, say] = useState(SILENT);
  const kept = useRef({}).current;
  const record = async (row) => {
    const key = JSON.stringify(row);
    return (kept[key] ??= SETTLED.has(row.status) ? await call(`runs/${row.run_id}?max_value_bytes=${MOST}`) : undefined) ?? call(`runs/${row.run_id}?max_value_bytes=${MOST}`);
  };
  const reload = useReading(async () => {
    try {
      const [thread, page] = await Promise.all([call(`threads/${id}`), call(`threads/${id}/runs?limit=${Math.min(most, 200)}`)]);
      show({ thread, turns: await Promise.all(page.runs.reverse().map(record)) });
      tell(null);
    } catch (problem) { tell(problem); }
  });
  useEffect(() => { reload(); }, [id, most]);
  const active = told?.turns.find((turn) => !SETTLED.has(turn.status))?.run_id;
  useEffect(() => {
    if (!told) return undefined;
    say(SILENT);
    if (!active) return follow(() => "runs/stream", ["run.changed"], reload);
    return follow((last) => `runs/${active}/stream?after=${last}`, EVENTS, (type, event) => {
      if (type === "answer.delta") say((before) => heard(before, event));
      else if (type !== "step.progress") reload();
    }, told.turns.find((turn) => turn.run_id === active).last_event_id);
  }, [id, Boolean(told), active]);
  return { told, wrong, reload, answer, active, older: () => widen(most + PAGE) };
}

function Turn({ record, answer }) {
  const { run_id, status, waits_for_run: before, current } = record;
  return html`<li><p class="asked"><span class="hidden">You: </span>${record.prompt}</p>
    <div class="came"><p class="quiet"><${Status} status=${status} /> <${Time} time=${record.created_at} /> <a href=${`#/runs/${run_id}`}>the run</a></p>
      <${Outcome} record=${record} />
      ${answer && html`<p class="answer streamed">${answer}</p>`}
      ${status === "waiting" && html`<p>${record.in_doubt ? "A step may have acted." : "Its plan waits for an approval."} <a href=${`#/runs/${run_id}`}>Decide</a></p>`}
      ${before && html`<p class="quiet">Behind <a href=${`#/runs/${before.run_id}`}>the run before</a>, which ${WHY[before.why]}.</p>`}
      ${current && !answer && html`<p class="quiet">step ${current.step}: <code>${record.plan.steps[current.step - 1]?.tool}</code>${current.attempt > 1 && `, attempt ${current.attempt}`}</p>`}</div></li>`;
}

function Named({ thread, reload }) {
  const [name, call_it] = useState(null);
  const [wrong, tell] = useState(null);
  const send = (event) => {
    event.preventDefault();
    call(`threads/${thread.thread_id}`, { method: "PATCH", body: { name: name.trim() || null } }).then(() => { call_it(null); tell(null); return reload(); }, tell);
  };
  if (name === null) return html`<h1>${thread.name ?? "A thread without a name"}</h1><button class="plain" onClick=${() => call_it(thread.name ?? "")}>Name it</button>`;
  return html`<h1 class="hidden">${thread.name ?? "A thread"}</h1><form class="row" onSubmit=${send}><input aria-label="Name of the thread" autofocus maxlength="100" value=${name} onInput=${(event) => call_it(event.target.value)} />
    <button class="primary">Keep</button><button type="button" class="plain" onClick=${() => call_it(null)}>Leave it</button><${Wrong} problem=${wrong} /></form>`;
}

function Remove({ thread }) {
  const [asked, ask] = useState(false);
  const [wrong, tell] = useState(null);
  if (!asked) return html`<button class="plain" onClick=${() => ask(true)}>Delete …</button>`;
  return html`<span>Its ${counted(thread.runs, "run")} and all that is kept of them are removed for good; what they did stays. Nothing is while one goes on.
    <button class="danger" onClick=${() => call(`threads/${thread.thread_id}`, { method: "DELETE" }).then(() => { location.hash = "#/threads"; }, tell)}>Yes, delete it</button>
    <button class="plain" onClick=${() => ask(false)}>No</button><${Wrong} problem=${wrong} /></span>`;
}

export default function Thread({ id }) {
  const { told, wrong, reload, answer, active, older } = useThread(id);
  const [prompt, write] = useState("");
  const [refused, tell] = useState(null);
  const end = useRef();
  const shown = told?.turns.length;
  useEffect(() => { end.current?.scrollIntoView({ block: "nearest" }); }, [shown, answer.at, active]);
  if (!told) return wrong ? html`<section class="card"><h1>${wrong.title}</h1><${Wrong} problem=${wrong} /><p><a href="#/threads">All threads</a></p></section>` : html`<p class="quiet" role="status">Reading the thread …</p>`;
  const { thread, turns } = told, last = turns.at(-1);
  async function send(event) {
    event.preventDefault();
    if (!prompt.trim()) return;
    try {
      await call("runs", { method: "POST", body: { prompt, thread_id: id } });
      write("");
      tell(null);
      await reload();
    } catch (problem) { tell(problem); }
  }
  return html`<article class="thread">
    <p class="crumb"><a href="#/threads">‹ Threads</a> <code class="quiet">${id}</code> ${Object.entries(thread.metadata).map(([name, text]) => html` <span class="tag">${name}: ${text}</span>`)}</p>
    <div class="title"><${Named} thread=${thread} reload=${reload} /><span class="quiet">${counted(thread.runs, "run")}</span>
      <a href=${`threads/${id}/export`} download=${`${id}.json`}>Export</a><${Remove} thread=${thread} /></div>
    <${Wrong} problem=${wrong} />
    ${thread.runs > turns.length && html`<button onClick=${older}>Earlier ones</button>`}
    <ol class="turns" aria-label="Conversation">${turns.map((turn) => html`<${Turn} key=${turn.run_id} record=${turn} answer=${turn.run_id === active && answer.text} />`)}</ol>
    <${Spoken} text=${last && `${last.status}: ${last.error?.message ?? last.result?.answer?.text ?? last.result?.summary ?? ""}`} />
    <form class="talk card" onSubmit=${send}><label class="hidden" for="talk">Go on</label>
      <textarea id="talk" rows="2" data-key="n" placeholder="Go on; it knows what went before" value=${prompt} onInput=${(event) => write(event.target.value)}
        onKeyDown=${(event) => event.key === "Enter" && !event.shiftKey && send(event)}></textarea>
      <button class="primary" disabled=${!prompt.trim()}>Send</button><${Wrong} problem=${refused} /></form><div ref=${end}></div></article>`;
}
