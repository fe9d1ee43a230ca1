// The threads: conversations, those with the newest runs first, and the beginning of one.
import { useEffect, useState } from "../vendor/hooks.mjs";
import { call, follow, useReading } from "../api.js";
import { counted, html, Status, Table, Time, Wrong } from "../words.js";

// Changes that come close together are read once, in ms.
const PAUSE = 250;

function Begin() {
  const [name, call_it] = useState("");
  const [prompt, write] = useState("");
  const [wrong, tell] = useState(null);
  async function begin(event) {
    event.preventDefault();
    try {
      const { run_id } = await call("runs", { method: "POST", body: { prompt, ...(name.trim() ? { thread_name: name.trim() } : {}) } });
      const { thread_id } = await call(`runs/${run_id}?max_value_bytes=100`);
      location.hash = `#/threads/${thread_id}`;
    } catch (problem) { tell(problem); }
  }
  return html`<form class="card begin" aria-label="A new thread" onSubmit=${begin}>
    <label>First words <input value=${prompt} data-key="n" onInput=${(event) => write(event.target.value)} /></label>
    <label>Name <input value=${name} maxlength="100" placeholder="optional; goes on with yours of that name" onInput=${(event) => call_it(event.target.value)} /></label>
    <button class="primary" disabled=${!prompt.trim()}>Begin</button><${Wrong} problem=${wrong} /></form>`;
}

export default function Threads() {
  const [page, show] = useState(null);
  const [wrong, tell] = useState(null);
  const [cursors, turn] = useState([]);
  const cursor = cursors.at(-1);
  const reload = useReading(() => call(`threads?limit=50${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`).then((told) => { show(told); tell(null); }, tell));
  useEffect(() => { reload(); }, [cursor]);
  useEffect(() => {
    let timer;
    const stop = follow(() => "runs/stream", ["run.changed"], () => { clearTimeout(timer); timer = setTimeout(reload, PAUSE); });
    return () => { clearTimeout(timer); stop(); };
  }, []);
  return html`<div class="title"><h1>Threads</h1><span class="quiet">Runs that go on one after the other, each with what went before in mind.</span></div>
    <${Begin} /><${Wrong} problem=${wrong} />
    ${page?.threads.length === 0 && html`<p class="card">There is no thread yet. <a href="#/">A run</a> begins one, too.</p>`}
    ${page?.threads.length > 0 && html`<${Table} kind="threads" caption="Threads, those with the newest runs first" head=${["Thread", "#Runs", "Last", "#Asked"]} rows=${page.threads.map(({ thread_id, name, runs, last_run }) => [
      html`<span class="what"><a href=${`#/threads/${thread_id}`}>${name ?? last_run.prompt}</a>${name && html`<small>${last_run.prompt}</small>`}</span>`,
      runs, html`<${Status} status=${last_run.status} />`, html`<${Time} time=${last_run.created_at} />`])} />`}
    <nav class="pages" aria-label="Pages of threads">
      ${cursors.length > 0 && html`<button onClick=${() => turn(cursors.slice(0, -1))}>Newer</button>`}
      ${page?.next_cursor && html`<button onClick=${() => turn([...cursors, page.next_cursor])}>Older</button>`}
      ${page && html`<span class="quiet">${counted(page.threads.length, "thread")} shown</span>`}</nav>`;
}
