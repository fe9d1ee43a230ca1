// The threads: conversations, those with the newest runs first, and the beginning of one.
import { call, followChanges, post, useRead } from "../api.js";
import { counted, html, Pages, Status, Table, Time, typed, useEffect, useOrder, useState, Wrong } from "../words.js";

function Begin() {
  const [name, call_it] = useState("");
  const [prompt, write] = useState("");
  const [order, wrong] = useOrder();
  const begin = async () => {
    const { run_id } = await post("runs", { prompt, thread_name: name.trim() || undefined });
    const { thread_id } = await call(`runs/${run_id}?max_value_bytes=100`);
    location.hash = `#/threads/${thread_id}`;
  };
  return html`<form class="card begin" aria-label="A new thread" onSubmit=${event => order(begin, event)}>
    <label>First words <input value=${prompt} data-key=n onInput=${typed(write)} /></label>
    <label>Name <input value=${name} maxlength=100 placeholder="optional; goes on with yours of that name" onInput=${typed(call_it)} /></label>
    <button class=primary disabled=${!prompt.trim()}>Begin</button>${wrong}</form>`;
}

export default function Threads() {
  const [cursors, turn] = useState([]);
  const address = `threads?limit=50&${new URLSearchParams(cursors.length ? { cursor: cursors.at(-1) } : {})}`;
  const [page, wrong, reload] = useRead(() => call(address), address);
  useEffect(() => followChanges(reload), []);
  const threads = page?.threads ?? [];
  return html`<div class=title><h1>Threads</h1><span class=quiet>Runs that go on one after the other, each with what went before in mind.</span></div>
    <${Begin} /><${Wrong} problem=${wrong} />
    ${threads[0] ? html`<${Table} kind=threads caption="Threads, those with the newest runs first" head=${["Thread", "#Runs", "Last", "#Asked"]} rows=${threads.map(({ thread_id, name, runs, last_run }) => [
      html`<span class=what><a href="#/threads/${thread_id}">${name ?? last_run.prompt}</a>${name && html`<small>${last_run.prompt}</small>`}</span>`,
      runs, html`<${Status} status=${last_run.status} />`, html`<${Time} time=${last_run.created_at} />`])} />`
      : page && html`<p class=card>There is no thread yet. <a href="#/">A run</a> begins one, too.</p>`}
    <${Pages} of=threads cursors=${cursors} turn=${turn} next=${page?.next_cursor}>${page && html`<span class=quiet>${counted(threads.length, "thread")} shown</span>`}<//>`;
}
