// What can be done with a run: each button says what it will do, and what it will not, before it does.
import { useRef, useState } from "../vendor/hooks.mjs";
import { call } from "../api.js";
import { brief, counted, html, json, Time, Wrong } from "../words.js";
import { drafted, Editor, faults, parsed, planOf, useTools } from "./plan.js";

const list = (numbers) => (numbers.length === 1 ? `step ${numbers[0]}` : `steps ${numbers.slice(0, -1).join(", ")} and ${numbers.at(-1)}`);

const isDone = (record, step) => record.execution_log.findLast((entry) => entry.step === step)?.status === "ok";

const doneSteps = (record) => record.plan.steps.map(({ step }) => step).filter((step) => isDone(record, step));

// The later steps that refer to the output of one.
const users = (record, step) => record.plan.steps.filter((one) => JSON.stringify(one.input).includes(`step_${step}_output`)).map((one) => one.step);

// Sends an order, and shows beside the button what was wrong with it.
function useOrder(record, reload, done) {
  const [wrong, tell] = useState(null);
  const [busy, hold] = useState(false);
  const last = useRef();
  const send = async (order, body) => {
    last.current = [order, body];
    hold(true);
    tell(null);
    try {
      const told = await call(`runs/${record.run_id}/${order}`, { method: "POST", body });
      done?.(told);
      await reload();
    } catch (problem) {
      tell(problem);
    }
    hold(false);
  };
  const said = html`<${Wrong} problem=${wrong} again=${() => send(...last.current)} />`;
  return { send, busy, said };
}

function Cancel({ record, reload, close }) {
  const { send, busy, said } = useOrder(record, reload, close);
  const done = doneSteps(record), rest = record.plan.steps.map(({ step }) => step).filter((step) => !done.includes(step));
  return html`<p>${done.length ? `What is done stays: ${list(done)}. ` : "Nothing is done yet. "}
      ${rest.length ? `Not done: ${list(rest)}. ` : ""}${record.current && !record.current.not_before ? "The attempt under way is cut off; it may have acted by then. " : ""}A cancelled run can be retried.</p>
    <button class="danger" disabled=${busy} onClick=${() => send("cancel")}>Yes, cancel it</button>${said}`;
}

function Retry({ record, reload, close }) {
  const { send, busy, said } = useOrder(record, reload, close);
  const steps = record.plan.steps;
  const stopped = record.error?.step ?? steps.find(({ step }) => !isDone(record, step))?.step ?? steps[0]?.step;
  const [from, begin] = useState(stopped);
  const [skip, leave] = useState([]);
  const [texts, write] = useState({});
  if (!steps.length) {
    return html`<p>It has no plan: it is planned again, from the same words. Nothing was executed.</p>
      <button class="primary" disabled=${busy} onClick=${() => send("retry", {})}>Plan and run it again</button>${said}`;
  }
  const step = steps.find((one) => one.step === from);
  const done = doneSteps(record), before = done.filter((one) => one < from), again = done.filter((one) => one >= from);
  const text = texts[from] ?? json(step.input), edited = text !== json(step.input), { value, wrong } = parsed(text);
  const needed = skip.filter((one) => users(record, one).some((user) => !skip.includes(user)));
  const body = { from_step: from, ...(edited ? { input: value } : {}), ...(skip.length ? { skip } : {}) };
  const acted = record.execution_log.some((entry) => entry.step >= from && entry.may_have_acted);
  return html`<div class="form">
    <label>Begin with <select value=${from} onChange=${(event) => begin(Number(event.target.value))}>
      ${steps.filter((one) => one.step <= stopped).map((one) => html`<option value=${one.step} selected=${one.step === from}>step ${one.step}: ${one.tool} ${brief(one.input)}</option>`)}</select></label>
    <label>Its input <textarea readonly=${step.input.shortened === true} rows=${Math.min(10, text.split("\n").length)} spellcheck=${false} aria-invalid=${Boolean(wrong)} value=${text} onInput=${(event) => write({ ...texts, [from]: event.target.value })}></textarea></label>
    ${wrong && html`<p class="wrong">It ${wrong}.</p>`}
    <fieldset><legend>Leave out</legend>${steps.filter((one) => one.step >= from).map((one) => html`<label class="check"><input type="checkbox" checked=${skip.includes(one.step)}
      onChange=${(event) => leave(event.target.checked ? [...skip, one.step] : skip.filter((each) => each !== one.step))} /> step ${one.step}: ${one.tool}</label>`)}</fieldset>
    <p>${before.length ? `Not executed again: ${list(before)}. ` : ""}${again.length ? `Executed again, though done: ${list(again)}. ` : ""}
      ${skip.length ? `Left out: ${list(skip)}. ` : ""}${edited ? "The edited input is checked as a plan is. " : ""}
      ${acted ? "An attempt from here on may have changed something already. " : ""}
      ${needed.map((one) => `Step ${one} gives ${list(users(record, one))} its input: leaving it out will be refused. `)}</p>
    <button class="primary" disabled=${busy || Boolean(wrong)} onClick=${() => send("retry", body)}>Retry from step ${from}</button>${said}</div>`;
}

function Approve({ record, reload }) {
  const tools = useTools();
  const round = record.plan.rounds?.at(-1) ?? { first: 1, last: record.plan.steps.length };
  const asked = record.plan.steps.filter((step) => step.step >= round.first && step.step <= round.last);
  const [draft, edit] = useState(drafted(asked));
  const [reason, say] = useState("");
  const { send, busy, said } = useOrder(record, reload);
  const calls = (plan) => json(plan.map(({ tool, input }) => ({ tool, input })));
  const edited = calls(planOf(draft, round.first)) !== calls(asked);
  const wrong = faults(draft, tools, edited);
  const acting = draft.filter((step) => tools[step.tool]?.effects).length;
  const scopes = (record.approval?.tools ?? []).flatMap((tool) => tool.scope ?? []);
  return html`<section class="approve card" aria-labelledby="approve"><h2 id="approve">Shall this be done?</h2>
    <p class="quiet">Nothing of it has been executed. It waits since <${Time} time=${record.approval?.asked_at} />; unless somebody decides by${" "}
      <${Time} time=${record.approval?.expires_at} />, the run is cancelled.</p>
    ${scopes.length > 0 && html`<ul>${scopes.map((scope) => html`<li>${scope}</li>`)}</ul>`}
    <${Editor} draft=${draft} edit=${edit} tools=${tools} first=${round.first} />
    ${wrong.map((fault) => html`<p class="wrong">${fault}</p>`)}
    <p>${counted(draft.length, "step")} will be executed${acting ? `, of which ${acting} ${acting === 1 ? "changes" : "change"} something` : "; none changes anything"}.
      ${edited ? " It is your plan then; the proposed one stays in the record." : ""}</p>
    <div class="row"><button class="primary" data-key="a" disabled=${busy || wrong.length > 0} onClick=${() => send("approve", edited ? { plan: { steps: planOf(draft, round.first), then: round.then ?? "done" } } : undefined)}>
        ${edited ? "Approve the edited plan" : "Approve"}</button>
      ${edited && html`<button class="plain" onClick=${() => edit(drafted(asked))}>As it was proposed</button>`}
      <label class="reason">Why not <input value=${reason} placeholder="a reason, kept in the record" onInput=${(event) => say(event.target.value)} /></label>
      <button class="danger" disabled=${busy} onClick=${() => send("reject", reason ? { reason } : {})}>Reject</button></div>${said}</section>`;
}

const DECISIONS = {
  done: "It has acted: the run goes on with the output that you give, and the step is not called again.",
  redo: "It has not acted: the step is called again. If it had acted after all, it acts twice.",
  skip: "The run goes on without it. Steps that use its output are refused.",
  fail: "The run fails here; it can be retried.",
};

function Resolve({ record, reload }) {
  const [as, decide] = useState(null);
  const [text, write] = useState("null");
  const { send, busy, said } = useOrder(record, reload);
  const doubt = record.in_doubt;
  let output, wrong = null;
  try { output = JSON.parse(text); } catch (error) { wrong = error.message; }
  const body = as === "done" ? { as, output } : { as };
  return html`<section class="approve card" aria-labelledby="resolve"><h2 id="resolve">Has step ${doubt.step}, <code>${doubt.tool}</code>, acted?</h2>
    <p>${doubt.known}</p>${doubt.learned && html`<p>Since then it is known that the call has ${doubt.learned.ended}: ${doubt.learned.detail}</p>`}
    <p class="quiet">Nobody knows, so nothing goes on since <${Time} time=${doubt.asked_at} />; by <${Time} time=${doubt.expires_at} /> the run fails.</p>
    <fieldset><legend class="hidden">What became of it</legend>${Object.entries(DECISIONS).map(([name, said]) => html`<label class="check"><input type="radio" name="as" checked=${as === name} onChange=${() => decide(name)} /> <b>${name}</b> ${said}</label>`)}</fieldset>
    ${as === "done" && html`<label>What it has returned, as JSON <textarea rows="2" value=${text} onInput=${(event) => write(event.target.value)}></textarea></label>${wrong && html`<p class="wrong">${wrong}</p>`}`}
    <button class="primary" disabled=${busy || !as || (as === "done" && wrong)} onClick=${() => send("resolve", body)}>Decide</button>${said}</section>`;
}

const PANELS = { cancel: ["Cancel", "c", Cancel], retry: ["Retry", "r", Retry] };

export function Actions({ record, reload }) {
  const [open, show] = useState(null);
  const { send, busy, said } = useOrder(record, reload);
  const may = record.actions;
  const close = () => show(null);
  const waits = record.status === "running" && record.current?.not_before;
  const names = Object.keys(PANELS).filter((name) => may.includes(name));
  const Panel = open && names.includes(open) ? PANELS[open][2] : null;
  return html`
    ${may.includes("approve") && html`<${Approve} key=${record.last_event_id} record=${record} reload=${reload} />`}
    ${may.includes("resolve") && record.in_doubt && html`<${Resolve} key=${record.last_event_id} record=${record} reload=${reload} />`}
    ${(names.length > 0 || waits) && html`<div class="actions">
      ${waits && html`<span><button disabled=${busy} data-key="." onClick=${() => send("retry-now")}>Try again now</button> <small>makes the next attempt at once; nothing else changes</small></span>`}
      ${names.map((name) => html`<button class=${name === "retry" ? "primary" : ""} data-key=${PANELS[name][1]} aria-expanded=${open === name} onClick=${() => show(open === name ? null : name)}>${PANELS[name][0]} …</button>`)}${said}</div>`}
    ${Panel && html`<section class="panel card" aria-label=${PANELS[open][0]}><${Panel} record=${record} reload=${reload} close=${close} />
      <button class="plain" onClick=${close}>Leave it as it is</button></section>`}`;
}
