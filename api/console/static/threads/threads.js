// The threads, and each as a conversation.
import { button, call, counted, Form, html, isSettled, Opens, post, refusal, sends, stateOf, table, timeOf, unread, useEffect, usePages, useRead, useRef, useState } from "../words.js";
import { metadataOf, nowOf, outcomeOf, recordOf, SILENT, Spoken, useFollowed } from "../run/outcome.js";

async function begin(fields) {
  const { run_id } = await post("runs", fields);
  location.hash = `#/threads/${(await recordOf(run_id)).thread_id}`;
}

function List() {
  const [page, wrong, nav] = usePages("threads?limit=50", "threads");
  const threads = page?.threads ?? [];
  return html`<div class=title><h1>Threads</h1><span class=quiet>Runs one after the other, each with those before in mind.</span></div>
    <${Form} class="card begin" aria-label="A new thread" send=${begin} words=Begin>
      <label>First words <input name=prompt data-key=n required /></label>
      <label>Name <input name=thread_name maxlength=100 placeholder="optional; goes on with yours of that name" /></label><//>${refusal(wrong)}
    ${threads[0] ? table("Threads, those with the newest runs first", ["Thread", "#Runs", "Last", "#Asked"], threads.map(({ thread_id, name, runs, last_run }) => [
      html`<span class=what><a href="#/threads/${thread_id}">${name ?? last_run.prompt}</a>${name && html`<small>${last_run.prompt}</small>`}</span>`,
      runs, stateOf(last_run.status), timeOf(last_run.created_at)]), "threads")
      : page && html`<p class=card>There is no thread yet. <a href="#/">A run</a> begins one, too.</p>`}
    ${nav(`${counted(threads.length, "thread")} shown`)}`;
}

const PAGE = 10; // runs that are shown at first, and more each time

// The newest runs, oldest first; those that have ended are read once.
function useThread(id, most) {
  const kept = useRef({}).current;
  const record = row => {
    const key = JSON.stringify(row), read = kept[key] ?? recordOf(row.run_id);
    if (isSettled(row)) kept[key] = read;
    read.catch(() => { delete kept[key]; });
    return read;
  };
  return useRead(async () => {
    const [thread, page] = await Promise.all([call(`threads/${id}`), call(`threads/${id}/runs?limit=${Math.min(most, 200)}`)]);
    return { thread, turns: await Promise.all(page.runs.reverse().map(record)) };
  }, id, most);
}

function turnOf(record, answer) {
  const { run_id, status, prompt, created_at, in_doubt } = record, href = `#/runs/${run_id}`;
  return html`<li key=${run_id}><p class=asked><span class=hidden>You: </span>${prompt}</p>
    <div class=came><p class=quiet>${stateOf(status)} ${timeOf(created_at)} <a href=${href}>the run</a></p>
      ${outcomeOf(record)}${nowOf(record, answer)}
      ${status === "waiting" && html`<p>${in_doubt ? "A step may have acted." : "Its plan waits for an approval."} <a href=${href}>Decide</a></p>`}</div></li>`;
}

function Thread({ id }) {
  const [most, widen] = useState(PAGE), [told, wrong, reload] = useThread(id, most), end = useRef();
  const active = told && told.turns.find(turn => !isSettled(turn)), { answer } = useFollowed(active, reload);
  useEffect(() => { end.current?.scrollIntoView({ block: "nearest" }); }, [told?.turns.length, answer.at, active?.run_id]);
  if (!told) return unread(wrong);
  const { thread: { name, runs, metadata }, turns } = told, all = counted(runs, "run");
  const keep = async ({ name = null }) => {
    await call(`threads/${id}`, { method: "PATCH", body: { name } });
    reload();
  };
  const remove = async () => {
    await call(`threads/${id}`, { method: "DELETE" });
    location.hash = "#/threads";
  };
  const send = async ({ prompt }) => {
    await post("runs", { prompt, thread_id: id });
    const field = document.getElementById("talk");
    if (field?.value === prompt) field.value = ""; // somebody may have written on
    reload();
  };
  return html`<article class=thread>
    <p class=crumb><a href="#/threads">‹ Threads</a> <code class=quiet>${id}</code>${metadataOf(metadata)}</p>
    <div class=title><h1>${name ?? "A thread without a name"}</h1>
      <${Opens} key=${name} words="Name it" class=plain><${Form} class=row send=${keep} words=Keep>
        <input name=name aria-label="Name of the thread" autofocus maxlength=100 defaultValue=${name} /><//><//><span class=quiet>${all}</span>
      <a href="threads/${id}/export" download="${id}.json">Export</a>
      <${Opens} words="Delete …" class=plain><${Form} class=row send=${remove} look=danger words="Yes, delete it">
        Its ${all} and all that is kept of them are removed for good; what they did stays. Nothing is while one goes on.<//><//></div>
    ${refusal(wrong)}
    ${runs > turns.length && button("Earlier ones", () => widen(most + PAGE))}
    <ol class=turns aria-label=Conversation>${turns.map(turn => turnOf(turn, turn === active ? answer : SILENT))}</ol>
    <${Spoken} of=${turns.at(-1) ?? {}} />
    <${Form} class="talk card" send=${send} words=Send>
      <textarea id=talk aria-label="Go on" name=prompt required rows=2 data-key=n placeholder="Go on; it knows what went before" onKeyDown=${sends}></textarea><//><div ref=${end}></div></article>`;
}

export default ({ id }) => id ? html`<${Thread} id=${id} />` : html`<${List} />`;
