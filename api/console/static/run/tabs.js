// The rest of a record, as far as one wants to look: result, plan, log, states, events, raw.
import { useEffect, useState } from "../vendor/hooks.mjs";
import { call } from "../api.js";
import { brief, clockTime, counted, duration, html, json, Status, Table, Time, Value, Wrong } from "../words.js";
import { Compare } from "./compare.js";
import { drafted, Editor, faults, Plan, planOf, useTools } from "./plan.js";

function Result({ record }) {
  if (!record.result) return html`<p class="quiet">There is no result${record.error ? ": the run did not complete" : " yet"}.</p>`;
  const { answer, output, summary } = record.result;
  const last = record.execution_log.findLastIndex((entry) => entry.status === "ok");
  return html`${answer && html`<p class="answer">${answer.text}</p>`}<p>${summary}</p><${Value} value=${output} href=${`runs/${record.run_id}/log/${last + 1}/output`} />`;
}

function PlanTab({ record }) {
  const tools = useTools();
  if (!record.plan.steps.length) return html`<p class="quiet">There is no plan.</p>`;
  return html`<p>${record.planned_by?.reason}</p><${Plan} steps=${record.plan.steps} tools=${tools} />
    ${record.plan_proposed && html`<h3>As it was proposed</h3><${Plan} steps=${record.plan_proposed.steps} tools=${tools} />`}`;
}

function Log({ record }) {
  const entries = [
    ...record.execution_log.map((entry) => ({ at: entry.started_at, entry })),
    ...record.marks.map((mark) => ({ at: mark.at, mark })),
  ].sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
  if (!entries.length) return html`<p class="quiet">Nothing is logged yet.</p>`;
  return html`<${Table} caption="Attempts, and what came from outside" head=${["#Time", "What", "How", "#Took"]} rows=${entries.map(({ at, entry, mark }) => [
    clockTime(at, true),
    ...(entry
      ? [html`<b class="step">${entry.step}</b> <code>${entry.tool}</code> ${brief(entry.input)}`, html`<${Status} status=${entry.status} /> ${entry.error?.message ?? ""}`, duration(entry.duration_ms)]
      : [mark.what.replace("_", " "), `by ${mark.by}${mark.detail ? `: ${mark.detail}` : ""}`, ""])])} />`;
}

function Fork({ record, from, close }) {
  const tools = useTools();
  const [prompt, write] = useState(record.prompt);
  const [draft, edit] = useState(null);
  const [wrong, tell] = useState(null);
  const edited = prompt !== record.prompt;
  const unfit = draft ? faults(draft, tools, true) : [];
  const state = { ...(edited ? { prompt } : {}), ...(draft ? { plan: { steps: planOf(draft, 1) } } : {}) };
  async function fork() {
    try {
      const made = await call(`runs/${record.run_id}/fork`, { method: "POST", body: { checkpoint_id: from.checkpoint_id, ...(edited || draft ? { state } : {}) } });
      location.hash = `#/runs/${made.run_id}`;
    } catch (problem) { tell(problem); }
  }
  const done = from.cursor ? ` ${counted(from.cursor, "step")} done by then ${from.cursor === 1 ? "is" : "are"} not executed again.` : " Nothing was done by then: all of it is executed.";
  return html`<div class="form"><label>The task <textarea rows="2" value=${prompt} onInput=${(event) => write(event.target.value)}></textarea></label>
    ${draft ? html`<${Editor} draft=${draft} edit=${edit} tools=${tools} first=${1} />`
      : record.plan.steps.length > 0 && html`<button onClick=${() => edit(drafted(record.plan.steps))}>Edit its plan</button>`}
    ${unfit.map((fault) => html`<p class="wrong">${fault}</p>`)}
    <p>A new run begins as this one was at ${clockTime(from.time, true)}; this one stays as it is.
      ${draft ? " Steps that were done by then and are the same are not executed again; all others of your plan are." : edited ? " With other words it is planned anew, and all of that plan is executed." : done}</p>
    <button class="primary" disabled=${unfit.length > 0} onClick=${fork}>Fork</button> <button class="plain" onClick=${close}>Leave it</button>
    <${Wrong} problem=${wrong} /></div>`;
}

// A page of something of a run, read again after what happens.
function usePage({ run_id, last_event_id }, path, nothing) {
  const [page, show] = useState(null);
  useEffect(() => { call(`runs/${run_id}/${path}`).then(show, () => show(nothing)); }, [run_id, last_event_id, path]);
  return page;
}

function States({ record }) {
  const [from, choose] = useState(null);
  const [before, older] = useState("");
  const page = usePage(record, `history?limit=50${before && `&before=${before}`}`, { checkpoints: [] });
  if (!page) return html`<p class="quiet">Reading …</p>`;
  if (!page.checkpoints.length) return html`<p class="quiet">Nothing is stored yet.</p>`;
  return html`<p class="quiet">What is on disk after each node. A fork begins a new run from one of these.</p>
    <${Table} caption="Checkpoints, the newest first" head=${["#Stored", "After", "Status", "#Done", "Changed", "Next", ".Fork"]} rows=${page.checkpoints.flatMap((one) => [
      [clockTime(one.time, true), one.node ?? "outside", one.status && html`<${Status} status=${one.status} />`, one.cursor ?? "", one.changed.join(", "), one.next.join(", ") || "–",
        one.status && html`<button onClick=${() => choose(one)}>Fork …</button>`],
      ...(from === one ? [html`<tr><td colspan="7"><${Fork} record=${record} from=${one} close=${() => choose(null)} /></td></tr>`] : [])])} />
    ${page.before && html`<button onClick=${() => older(page.before)}>Older</button>`}`;
}

function Events({ record }) {
  const [after, go] = useState(0);
  const page = usePage(record, `events?limit=200&after=${after}`, { events: [] });
  if (!page) return html`<p class="quiet">Reading …</p>`;
  return html`<${Table} caption="Events, in order" head=${["#No.", "#Time", "Event", "Step", "Node"]} rows=${page.events.map((event) => [
      event.id, clockTime(event.time, true), event.type, event.step ? `${event.step}${event.attempt ? `.${event.attempt}` : ""}` : "", event.node ?? ""])} />
    ${after > 0 && html`<button onClick=${() => go(Math.max(0, after - 200))}>Earlier</button>`}
    ${page.last_event_id > after + 200 && html`<button onClick=${() => go(after + 200)}>Later</button>`}`;
}

const Raw = ({ record }) => html`<p><a href=${`runs/${record.run_id}`}>The whole record</a> · accepted <${Time} time=${record.created_at} exact /> · here values above 4 kB are shortened</p><${Value} value=${json(record)} />`;

const TABS = { Result, Plan: PlanTab, Log, States, Events, Compare, Raw };

export function Tabs({ record }) {
  const [chosen, choose] = useState("Result");
  const names = Object.keys(TABS);
  const place = (by) => (names.indexOf(chosen) + by + names.length) % names.length;
  const turn = (by) => choose(names[place(by)]);
  const pressed = (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    turn(by);
    event.currentTarget.children[place(by)].focus();
  };
  const Tab = TABS[chosen];
  return html`<section class="tabs card"><div role="tablist" aria-label="The record" onKeyDown=${pressed}>${names.map((name) => html`<button role="tab" id=${`tab-${name}`} aria-controls="tabpanel"
      aria-selected=${name === chosen} tabindex=${name === chosen ? 0 : -1} onClick=${() => choose(name)}>${name}</button>`)}</div>
    <div role="tabpanel" id="tabpanel" aria-labelledby=${`tab-${chosen}`} tabindex="0"><${Tab} record=${record} /></div>
    <button class="hidden" tabindex="-1" data-key="f" onClick=${() => choose("States")}>Fork from a state</button><button class="hidden" tabindex="-1" data-key="]" onClick=${() => turn(1)}>Next tab</button><button class="hidden" tabindex="-1" data-key="[" onClick=${() => turn(-1)}>Previous tab</button></section>`;
}
