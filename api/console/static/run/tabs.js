// The rest of a record, as far as one wants to look.
import { brief, button, call, clockTime, counted, duration, Form, hotkey, html, json, planned, quiet, stateOf, stepOf, table, typed, unread, useRead, useState, valueOf } from "../words.js";
import { Fork, useTools } from "./actions.js";

function Result({ record: { result, error, execution_log, run_id } }) {
  if (!result) return quiet(`There is no result${error ? ": the run did not complete" : " yet"}.`);
  const last = execution_log.findLastIndex(({ status }) => status === "ok");
  return html`<p>${result.summary}</p>${valueOf(result.output, `runs/${run_id}/log/${last + 1}/output`)}`;
}

function Plan({ record: { plan, planned_by, plan_proposed } }) {
  const tools = useTools();
  if (!plan.steps[0]) return quiet("There is no plan.");
  return html`<p>${planned_by?.reason}</p>${planned(plan.steps, tools)}
    ${plan_proposed && html`<h3>As it was proposed</h3>${planned(plan_proposed.steps, tools)}`}`;
}

function Log({ record }) {
  const entries = [
    ...record.execution_log.map(({ started_at, step, tool, input, status, error, duration_ms }) => [
      started_at, html`${stepOf(step, tool)} ${brief(input)}`, html`${stateOf(status)} ${error?.message}`, duration(duration_ms)]),
    ...record.marks.map(({ at, what, by, detail }) => [at, what.replace("_", " "), `by ${by}${detail ? `: ${detail}` : ""}`]),
  ].sort();
  if (!entries[0]) return quiet("Nothing is logged yet.");
  return table("Attempts, and what came from outside", ["#Time", "What", "How", "#Took"], entries.map(([at, ...rest]) => [clockTime(at), ...rest]));
}

const usePart = ({ run_id, last_event_id }, path) => useRead(`runs/${run_id}/${path}`, last_event_id);

function States({ record }) {
  const [from, choose] = useState(null), [before, older] = useState("");
  const [page, wrong] = usePart(record, `history?limit=50${before && `&before=${before}`}`);
  if (!page) return unread(wrong);
  return html`${quiet("What is on disk after each node. A fork begins a new run from one of these.")}
    ${from && html`<${Fork} key=${from.checkpoint_id} record=${record} from=${from} />`}
    ${table("Checkpoints, the newest first", ["#Stored", "After", "Status", "#Done", "Changed", "Next", ".Fork"], page.checkpoints.map(one => [
      clockTime(one.time), one.node ?? "outside", one.status && stateOf(one.status), one.cursor, one.changed.join(", "), one.next.join(", ") || "–",
      one.status && button("Fork …", () => choose(one !== from && one))]))}
    ${page.before && button("Older", () => older(page.before))}`;
}

const MANY = 200;

function Events({ record }) {
  const [after, go] = useState(0), [page, wrong] = usePart(record, `events?limit=${MANY}&after=${after}`);
  if (!page) return unread(wrong);
  return html`${table("Events, in order", ["#No.", "#Time", "Event", "Step", "Node"], page.events.map(({ id, time, type, step, attempt, node }) => [
      id, clockTime(time), type, step && `${step}${attempt ? `.${attempt}` : ""}`, node]))}
    ${after > 0 && button("Earlier", () => go(after - MANY))}
    ${page.last_event_id > after + MANY && button("Later", () => go(after + MANY))}`;
}

function Compare({ record }) {
  const [{ same, differences = [] }, show] = useState({});
  const compare = async ({ other }) => {
    show({});
    show(await call(`runs/${record.run_id}/diff/${encodeURIComponent(other)}`));
  };
  return html`<${Form} class=row send=${compare} words=Compare><label>Another run <input name=other placeholder="its id" required /></label><//>${same && "Nothing differs."}
    ${differences[0] && table("What differs", ["What", "Where", "Place", "This run", "The other"],
      differences.map(({ what, where, path, first, second }) => [what, where, path, brief([first]), brief([second])]))}`;
}

const Raw = ({ record }) => html`<p><a href="runs/${record.run_id}">The whole record</a> · here values above 4 kB are shortened</p>${valueOf(record)}`;

const TABS = { Result, Plan, Log, States, Events, Compare, Raw };
const NAMES = Object.keys(TABS);

export function Tabs({ record }) {
  const [chosen, choose] = useState("Result"), Tab = TABS[chosen];
  const turn = by => {
    const name = NAMES.at((NAMES.indexOf(chosen) + by) % NAMES.length);
    choose(name);
    return document.getElementById(`tab-${name}`);
  };
  const pressed = ({ key }) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (by) turn(by).focus();
  };
  return html`<section class="tabs card"><div role=tablist aria-label="The record" onKeyDown=${pressed}>${NAMES.map(name => html`<button role=tab id="tab-${name}" aria-controls=tabpanel
      aria-selected=${name === chosen} tabindex=${name === chosen ? 0 : -1} onClick=${() => choose(name)}>${name}</button>`)}</div>
    <div role=tabpanel id=tabpanel aria-labelledby="tab-${chosen}" tabindex=0><${Tab} record=${record} /></div>
    ${hotkey("f", () => choose("States"), "Fork from a state")}${hotkey("]", () => turn(1), "Next tab")}${hotkey("[", () => turn(-1), "Previous tab")}</section>`;
}
