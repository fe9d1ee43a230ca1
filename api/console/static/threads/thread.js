// A thread as a conversation: what was asked, and what came of it, answered as it streams.
import { call, post, useRead } from "../api.js";
import { counted, entered, html, isSettled, Status, Time, typed, Unread, useEffect, useOrder, useRef, useState, Wrong } from "../words.js";
import { Metadata, MOST, Outcome, Spoken, spokenOf, useFollowed } from "../run/outcome.js";

// So many of its runs are shown at first, and so many more each time.
const PAGE = 10;

const WHY = { pending: "has not begun", running: "goes on", approval: "waits for an approval", in_doubt: "waits for a word about a step in doubt" };

// The thread and the records of its newest runs, oldest first; those that have ended are read once.
function useThread(id) {
  const [most, widen] = useState(PAGE);
  const kept = useRef({}).current;
  const record = row => {
    const key = JSON.stringify(row), read = kept[key] ?? call(`runs/${row.run_id}?max_value_bytes=${MOST}`);
    if (isSettled(row)) kept[key] = read;
    read.catch(() => { delete kept[key]; });
    return read;
  };
  const [told, wrong, reload] = useRead(async () => {
    const [thread, page] = await Promise.all([call(`threads/${id}`), call(`threads/${id}/runs?limit=${Math.min(most, 200)}`)]);
    return { thread, turns: await Promise.all(page.runs.reverse().map(record)) };
  }, id, most);
  const active = told?.turns.find(turn => !isSettled(turn)), { answer } = useFollowed(Boolean(told), active, reload);
  return { told, wrong, reload, answer, active, older: () => widen(most + PAGE) };
}

function Turn({ record, answer }) {
  const { status, waits_for_run: before, current } = record, href = `#/runs/${record.run_id}`;
  return html`<li><p class=asked><span class=hidden>You: </span>${record.prompt}</p>
    <div class=came><p class=quiet><${Status} status=${status} /> <${Time} time=${record.created_at} /> <a href=${href}>the run</a></p>
      <${Outcome} record=${record} />
      ${answer && html`<p class="answer streamed">${answer}</p>`}
      ${status === "waiting" && html`<p>${record.in_doubt ? "A step may have acted." : "Its plan waits for an approval."} <a href=${href}>Decide</a></p>`}
      ${before && html`<p class=quiet>Behind <a href="#/runs/${before.run_id}">the run before</a>, which ${WHY[before.why]}.</p>`}
      ${current && !answer && html`<p class=quiet>step ${current.step}: <code>${record.plan.steps[current.step - 1]?.tool}</code>${current.attempt > 1 && `, attempt ${current.attempt}`}</p>`}</div></li>`;
}

function Named({ thread, reload }) {
  const [name, call_it] = useState(null);
  const [order, wrong] = useOrder();
  const keep = async () => {
    await call(`threads/${thread.thread_id}`, { method: "PATCH", body: { name: name.trim() || null } });
    call_it(null);
    reload();
  };
  if (name === null) return html`<h1>${thread.name ?? "A thread without a name"}</h1><button class=plain onClick=${() => call_it(thread.name ?? "")}>Name it</button>`;
  return html`<h1 class=hidden>${thread.name ?? "A thread"}</h1><form class=row onSubmit=${event => order(keep, event)}><input aria-label="Name of the thread" autofocus maxlength=100 value=${name} onInput=${typed(call_it)} />
    <button class=primary>Keep</button><button type=button class=plain onClick=${() => call_it(null)}>Leave it</button>${wrong}</form>`;
}

function Remove({ thread }) {
  const [asked, ask] = useState(false);
  const [order, wrong] = useOrder();
  const remove = async () => {
    await call(`threads/${thread.thread_id}`, { method: "DELETE" });
    location.hash = "#/threads";
  };
  if (!asked) return html`<button class=plain onClick=${() => ask(true)}>Delete …</button>`;
  return html`<span>Its ${counted(thread.runs, "run")} and all that is kept of them are removed for good; what they did stays. Nothing is while one goes on.
    <button class=danger onClick=${() => order(remove)}>Yes, delete it</button> <button class=plain onClick=${() => ask(false)}>No</button>${wrong}</span>`;
}

export default function Thread({ id }) {
  const { told, wrong, reload, answer, active, older } = useThread(id);
  const [prompt, write] = useState("");
  const [order, refused] = useOrder();
  const end = useRef();
  useEffect(() => { end.current?.scrollIntoView({ block: "nearest" }); }, [told?.turns.length, answer.at, active?.run_id]);
  if (!told) return html`<${Unread} wrong=${wrong} />`;
  const { thread, turns } = told, last = turns.at(-1);
  const send = event => prompt.trim() && order(async () => {
    await post("runs", { prompt, thread_id: id });
    write(now => now === prompt ? "" : now); // somebody may have written on
    reload();
  }, event);
  return html`<article class=thread>
    <p class=crumb><a href="#/threads">‹ Threads</a> <code class=quiet>${id}</code><${Metadata} of=${thread} /></p>
    <div class=title><${Named} thread=${thread} reload=${reload} /><span class=quiet>${counted(thread.runs, "run")}</span>
      <a href="threads/${id}/export" download="${id}.json">Export</a><${Remove} thread=${thread} /></div>
    <${Wrong} problem=${wrong} />
    ${thread.runs > turns.length && html`<button onClick=${older}>Earlier ones</button>`}
    <ol class=turns aria-label=Conversation>${turns.map(turn => html`<${Turn} key=${turn.run_id} record=${turn} answer=${turn === active && answer.text} />`)}</ol>
    <${Spoken} text=${last && spokenOf(last)} />
    <form class="talk card" onSubmit=${send}><label class=hidden for=talk>Go on</label>
      <textarea id=talk rows=2 data-key=n placeholder="Go on; it knows what went before" value=${prompt} onInput=${typed(write)} onKeyDown=${entered(send)}></textarea>
      <button class=primary disabled=${!prompt.trim()}>Send</button>${refused}</form><div ref=${end}></div></article>`;
}
