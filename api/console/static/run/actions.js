// What can be done with a run: each button says what it will do, and what it will not, before it does.
import { post, useRested } from "../api.js";
import { brief, Check, Code, counted, html, json, Select, Time, typed, useOrder, useState, Wrong } from "../words.js";
import { drafted, Editor, faults, parsed, planOf, useTools } from "./plan.js";

const list = numbers => `step${numbers[1] ? "s" : ""} ${numbers.join(", ").replace(/, (\d+)$/, " and $1")}`;

const told = (before, numbers) => numbers[0] ? `${before}: ${list(numbers)}. ` : "";

// The numbers of the steps of which something is true.
const stepsOf = ({ plan }, of) => plan.steps.filter(of).map(({ step }) => step);

const isDone = ({ execution_log }) => ({ step }) => execution_log.findLast(entry => entry.step === step)?.status === "ok";

// Sends what is to be done with a run, and reads it again.
function useOrders({ run_id }, reload, done) {
  const [order, wrong, busy] = useOrder();
  return [(name, body) => order(async () => {
    await post(`runs/${run_id}/${name}`, body);
    done?.();
    await reload();
  }), wrong, busy];
}

function Cancel({ record, reload, close }) {
  const [send, wrong, busy] = useOrders(record, reload, close);
  const done = isDone(record), { current } = record;
  return html`<p>${told("What is done stays", stepsOf(record, done)) || "Nothing is done yet. "}${told("Not done", stepsOf(record, one => !done(one)))}
      ${current && !current.not_before && "The attempt under way is cut off; it may have acted by then. "}A cancelled run can be retried.</p>
    <button class=danger disabled=${busy} onClick=${() => send("cancel")}>Yes, cancel it</button>${wrong}`;
}

function Retry({ record, reload, close }) {
  const [send, refused, busy] = useOrders(record, reload, close);
  const { plan: { steps }, error, execution_log } = record, done = stepsOf(record, isDone(record));
  const stopped = error?.step ?? (steps.find(({ step }) => !done.includes(step)) ?? steps[0])?.step;
  const [from, begin] = useState(stopped);
  const [skip, leave] = useState([]);
  const [texts, write] = useState({});
  if (!steps[0]) {
    return html`<p>It has no plan: it is planned again, from the same words. Nothing was executed.</p>
      <button class=primary disabled=${busy} onClick=${() => send("retry", {})}>Plan and run it again</button>${refused}`;
  }
  const { input } = steps.find(one => one.step === from), planned = json(input);
  const text = texts[from] ?? planned, edited = text !== planned, { value, wrong } = parsed(text);
  const users = step => stepsOf(record, one => json(one.input).includes(`step_${step}_output`));
  const needed = skip.filter(step => users(step).some(user => !skip.includes(user)));
  const body = { from_step: from, input: edited ? value : undefined, skip: skip[0] && skip };
  return html`<div class=form>
    <label>Begin with <${Select} value=${from} choose=${step => begin(Number(step))}
      options=${steps.filter(({ step }) => step <= stopped).map(one => [one.step, `step ${one.step}: ${one.tool} ${brief(one.input)}`])} /></label>
    <label>Its input <${Code} readonly=${input.shortened === true} aria-invalid=${Boolean(wrong)} text=${text} write=${now => write({ ...texts, [from]: now })} /></label>
    ${wrong && html`<p class=wrong>It ${wrong}.</p>`}
    <fieldset><legend>Leave out</legend>${steps.filter(({ step }) => step >= from).map(({ step, tool }) => html`<${Check} on=${skip.includes(step)}
      turn=${on => leave(on ? [...skip, step] : skip.filter(one => one !== step))}>step ${step}: ${tool}<//>`)}</fieldset>
    <p>${told("Not executed again", done.filter(one => one < from))}${told("Executed again, though done", done.filter(one => one >= from))}${told("Left out", skip)}
      ${edited && "The edited input is checked as a plan is. "}
      ${execution_log.some(entry => entry.step >= from && entry.may_have_acted) && "An attempt from here on may have changed something already. "}
      ${needed.map(step => `Step ${step} gives ${list(users(step))} its input: leaving it out will be refused. `)}</p>
    <button class=primary disabled=${busy || wrong} onClick=${() => send("retry", body)}>Retry from step ${from}</button>${refused}</div>`;
}

// An edited plan is checked by the server when typing rests for so long, in ms.
const REST = 300;

function Approve({ record, reload }) {
  const tools = useTools();
  const { approval, plan: { steps, rounds } } = record;
  const { first, last, then = "done" } = rounds?.at(-1) ?? { first: 1, last: steps.length };
  const asked = steps.filter(({ step }) => step >= first && step <= last);
  const [draft, edit] = useState(drafted(asked));
  const [reason, say] = useState("");
  const [send, refused, busy] = useOrders(record, reload);
  const plan = planOf(draft, first), calls = all => json(all.map(({ tool, input }) => [tool, input]));
  const edited = calls(plan) !== calls(asked), wrong = faults(draft, tools, edited);
  const sent = edited && !wrong[0] ? { steps: plan, then } : undefined;
  const check = signal => post(`runs/${record.run_id}/approve`, { plan: sent, check: true }, { signal }).then(() => null, problem => problem.status && problem);
  const unfit = useRested(sent && json(sent), REST, check);
  const acting = draft.filter(({ tool }) => tools[tool]?.effects).length;
  return html`<section class="approve card" aria-labelledby=approve><h2 id=approve>Shall this be done?</h2>
    <p class=quiet>Nothing of it has been executed. It waits since <${Time} time=${approval?.asked_at} />; unless somebody decides by${" "}
      <${Time} time=${approval?.expires_at} />, the run is cancelled.</p>
    <ul>${approval?.tools?.flatMap(({ scope }) => scope ?? []).map(scope => html`<li>${scope}</li>`)}</ul>
    <${Editor} draft=${draft} edit=${edit} tools=${tools} first=${first} />
    ${wrong.map(fault => html`<p class=wrong>${fault}</p>`)}<${Wrong} problem=${unfit} />
    <p>${counted(draft.length, "step")} will be executed${acting ? `, of which ${acting} ${acting === 1 ? "changes" : "change"} something` : "; none changes anything"}.
      ${edited && " It is your plan then; the proposed one stays in the record."}</p>
    <div class=row><button class=primary data-key=a disabled=${busy || wrong[0] || unfit} onClick=${() => send("approve", sent && { plan: sent })}>
        ${edited ? "Approve the edited plan" : "Approve"}</button>
      ${edited && html`<button class=plain onClick=${() => edit(drafted(asked))}>As it was proposed</button>`}
      <label class=reason>Why not <input value=${reason} placeholder="a reason, kept in the record" onInput=${typed(say)} /></label>
      <button class=danger disabled=${busy} onClick=${() => send("reject", { reason: reason || undefined })}>Reject</button></div>${refused}</section>`;
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
  const [send, refused, busy] = useOrders(record, reload);
  const { step, tool, known, learned, asked_at, expires_at } = record.in_doubt;
  const { value: output, wrong } = as === "done" ? parsed(text, false) : {};
  return html`<section class="approve card" aria-labelledby=resolve><h2 id=resolve>Has step ${step}, <code>${tool}</code>, acted?</h2>
    <p>${known}</p>${learned && html`<p>Since then it is known that the call has ${learned.ended}: ${learned.detail}</p>`}
    <p class=quiet>Nobody knows, so nothing goes on since <${Time} time=${asked_at} />; by <${Time} time=${expires_at} /> the run fails.</p>
    <fieldset><legend class=hidden>What became of it</legend>${Object.entries(DECISIONS).map(([name, said]) => html`<label class=check>
      <input type=radio name=as checked=${as === name} onChange=${() => decide(name)} /> <b>${name}</b> ${said}</label>`)}</fieldset>
    ${as === "done" && html`<label>What it has returned, as JSON <${Code} text=${text} write=${write} /></label>`}${wrong && html`<p class=wrong>It ${wrong}.</p>`}
    <button class=primary disabled=${busy || !as || wrong} onClick=${() => send("resolve", { as, output })}>Decide</button>${refused}</section>`;
}

const PANELS = { cancel: ["Cancel", "c", Cancel], retry: ["Retry", "r", Retry] };

export function Actions({ record, reload }) {
  const [open, show] = useState(null);
  const [send, wrong, busy] = useOrders(record, reload);
  const { actions, status, current, approval, in_doubt } = record;
  const waits = status === "running" && current?.not_before;
  const names = Object.keys(PANELS).filter(name => actions.includes(name));
  const [words, , Panel] = names.includes(open) ? PANELS[open] : [], close = () => show(null);
  return html`
    ${actions.includes("approve") && html`<${Approve} key=${approval?.asked_at} record=${record} reload=${reload} />`}
    ${actions.includes("resolve") && in_doubt && html`<${Resolve} key=${in_doubt.asked_at} record=${record} reload=${reload} />`}
    ${(names[0] || waits) && html`<div class=actions>
      ${waits && html`<span><button disabled=${busy} data-key=. onClick=${() => send("retry-now")}>Try again now</button> <small>makes the next attempt at once; nothing else changes</small></span>`}
      ${names.map(name => html`<button class=${name === "retry" && "primary"} data-key=${PANELS[name][1]} aria-expanded=${open === name}
        onClick=${() => show(open === name ? null : name)}>${PANELS[name][0]} …</button>`)}${wrong}</div>`}
    ${Panel && html`<section class="panel card" aria-label=${words}><${Panel} record=${record} reload=${reload} close=${close} />
      <button class=plain onClick=${close}>Leave it as it is</button></section>`}`;
}
