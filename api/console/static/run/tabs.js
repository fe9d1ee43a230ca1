// The rest of a record, as far as one wants to look: result, plan, log, states, events, raw.
import { call, post, useRead } from "../api.js";
import { brief, clockTime, counted, duration, html, json, Key, Status, Step, Table, typed, Unread, useOrder, useState, Value } from "../words.js";
import { Compare } from "./compare.js";
import { drafted, Editor, faults, Plan, planOf, useTools } from "./plan.js";

function Result({ record: { result, error, execution_log, run_id } }) {
  if (!result) return html`<p class=quiet>There is no result${error ? ": the run did not complete" : " yet"}.</p>`;
  const last = execution_log.findLastIndex(({ status }) => status === "ok");
  return html`<p>${result.summary}</p><${Value} value=${result.output} href="runs/${run_id}/log/${last + 1}/output" />`;
}

function PlanTab({ record: { plan, planned_by, plan_proposed } }) {
  const tools = useTools();
  if (!plan.steps[0]) return html`<p class=quiet>There is no plan.</p>`;
  return html`<p>${planned_by?.reason}</p><${Plan} steps=${plan.steps} tools=${tools} />
    ${plan_proposed && html`<h3>As it was proposed</h3><${Plan} steps=${plan_proposed.steps} tools=${tools} />`}`;
}

function Log({ record }) {
  const entries = [
    ...record.execution_log.map(({ started_at, step, tool, input, status, error, duration_ms }) => [
      started_at, html`<${Step} of=${step} tool=${tool} /> ${brief(input)}`, html`<${Status} status=${status} /> ${error?.message}`, duration(duration_ms)]),
    ...record.marks.map(({ at, what, by, detail }) => [at, what.replace("_", " "), `by ${by}${detail ? `: ${detail}` : ""}`, ""]),
  ].sort(([a], [b]) => Date.parse(a) - Date.parse(b));
  if (!entries[0]) return html`<p class=quiet>Nothing is logged yet.</p>`;
  return html`<${Table} caption="Attempts, and what came from outside" head=${["#Time", "What", "How", "#Took"]} rows=${entries.map(([at, ...rest]) => [clockTime(at, true), ...rest])} />`;
}

function Fork({ record, from, close }) {
  const tools = useTools();
  const [prompt, write] = useState(record.prompt);
  const [draft, edit] = useState(null);
  const [order, wrong] = useOrder();
  const edited = prompt !== record.prompt, unfit = draft ? faults(draft, tools, true) : [];
  const fork = async () => {
    const state = { prompt: edited ? prompt : undefined, plan: draft ? { steps: planOf(draft, 1) } : undefined };
    const made = await post(`runs/${record.run_id}/fork`, { checkpoint_id: from.checkpoint_id, state: edited || draft ? state : undefined });
    location.hash = `#/runs/${made.run_id}`;
  };
  const will = draft ? "Steps that were done by then and are the same are not executed again; all others of your plan are."
    : edited ? "With other words it is planned anew, and all of that plan is executed."
      : from.cursor ? `${counted(from.cursor, "step")} done by then ${from.cursor === 1 ? "is" : "are"} not executed again.` : "Nothing was done by then: all of it is executed.";
  return html`<div class=form><label>The task <textarea rows=2 value=${prompt} onInput=${typed(write)}></textarea></label>
    ${draft ? html`<${Editor} draft=${draft} edit=${edit} tools=${tools} first=${1} />`
      : record.plan.steps[0] && html`<button onClick=${() => edit(drafted(record.plan.steps))}>Edit its plan</button>`}
    ${unfit.map(fault => html`<p class=wrong>${fault}</p>`)}
    <p>A new run begins as this one was at ${clockTime(from.time, true)}; this one stays as it is. ${will}</p>
    <button class=primary disabled=${unfit[0]} onClick=${() => order(fork)}>Fork</button> <button class=plain onClick=${close}>Leave it</button>${wrong}</div>`;
}

// A page of something of a run, read again after what happens.
const usePage = ({ run_id, last_event_id }, path) => useRead(() => call(`runs/${run_id}/${path}`), run_id, last_event_id, path);

function States({ record }) {
  const [from, choose] = useState(null);
  const [before, older] = useState("");
  const [page, wrong] = usePage(record, `history?limit=50${before && `&before=${before}`}`);
  if (!page) return html`<${Unread} wrong=${wrong} />`;
  return html`<p class=quiet>What is on disk after each node. A fork begins a new run from one of these.</p>
    <${Table} caption="Checkpoints, the newest first" head=${["#Stored", "After", "Status", "#Done", "Changed", "Next", ".Fork"]} rows=${page.checkpoints.flatMap(one => [
      [clockTime(one.time, true), one.node ?? "outside", one.status && html`<${Status} status=${one.status} />`, one.cursor, one.changed.join(", "), one.next.join(", ") || "–",
        one.status && html`<button onClick=${() => choose(one)}>Fork …</button>`],
      from?.checkpoint_id === one.checkpoint_id && html`<tr><td colspan=7><${Fork} record=${record} from=${from} close=${() => choose(null)} /></td></tr>`])} />
    ${page.before && html`<button onClick=${() => older(page.before)}>Older</button>`}`;
}

// So many events are shown at once.
const MANY = 200;

function Events({ record }) {
  const [after, go] = useState(0);
  const [page, wrong] = usePage(record, `events?limit=${MANY}&after=${after}`);
  if (!page) return html`<${Unread} wrong=${wrong} />`;
  return html`<${Table} caption="Events, in order" head=${["#No.", "#Time", "Event", "Step", "Node"]} rows=${page.events.map(({ id, time, type, step, attempt, node }) => [
      id, clockTime(time, true), type, step && `${step}${attempt ? `.${attempt}` : ""}`, node])} />
    ${after > 0 && html`<button onClick=${() => go(after - MANY)}>Earlier</button>`}
    ${page.last_event_id > after + MANY && html`<button onClick=${() => go(after + MANY)}>Later</button>`}`;
}

const Raw = ({ record }) => html`<p><a href="runs/${record.run_id}">The whole record</a> · here values above 4 kB are shortened</p><${Value} value=${json(record)} />`;

const TABS = { Result, Plan: PlanTab, Log, States, Events, Compare, Raw };
const NAMES = Object.keys(TABS);

export function Tabs({ record }) {
  const [chosen, choose] = useState("Result");
  const place = by => (NAMES.indexOf(chosen) + by + NAMES.length) % NAMES.length;
  const turn = by => choose(NAMES[place(by)]);
  const pressed = ({ key, currentTarget }) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (!by) return;
    turn(by);
    currentTarget.children[place(by)].focus();
  };
  return html`<section class="tabs card"><div role=tablist aria-label="The record" onKeyDown=${pressed}>${NAMES.map(name => html`<button role=tab id="tab-${name}" aria-controls=tabpanel
      aria-selected=${name === chosen} tabindex=${name === chosen ? 0 : -1} onClick=${() => choose(name)}>${name}</button>`)}</div>
    <div role=tabpanel id=tabpanel aria-labelledby="tab-${chosen}" tabindex=0><${TABS[chosen]} record=${record} /></div>
    <${Key} of=f does=${() => choose("States")}>Fork from a state<//><${Key} of="]" does=${() => turn(1)}>Next tab<//><${Key} of="[" does=${() => turn(-1)}>Previous tab<//></section>`;
}
