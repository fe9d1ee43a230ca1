// What can be done with a run: each says before what it will do, and what it will not.
import { brief, button, check, clockTime, Code, counted, effectsOf, Form, html, json, once, Opens, post, refusal, Select, timeOf, typed, useRead, useRested, useState } from "../words.js";

const read = () => once("tools", ({ tools }) => Object.fromEntries(tools.map(tool => [tool.name, tool])));

export const useTools = () => useRead(read)[0] ?? {};

function parsed(text) {
  try {
    return { value: JSON.parse(text) };
  } catch ({ message }) {
    return { wrong: `is no JSON: ${message}` };
  }
}

const drafted = steps => steps.map(({ input, ...step }) => ({ ...step, key: step.step, text: json(input), big: input.shortened === true }));

const planOf = (draft, first) => draft.map(({ tool, text, reasoning, span }, index) => ({ step: first + index, tool, input: parsed(text).value, reasoning, span }));

// Why a plan cannot be sent; all else of it the server checks. A large input is not here as a whole: its
// plan can be approved, but not edited.
const faults = (draft, edited) => draft.flatMap(({ text, big }, index) => {
  const { wrong } = parsed(text), fault = big ? edited && "is too large for this page; send the edited plan by POST /runs/…/approve" : wrong;
  return fault ? `Step ${index + 1}: its input ${fault}.` : [];
});

function editor(draft, edit, tools, first, wrong) {
  const names = Object.keys(tools);
  return html`<ol class=editor>${draft.map((step, index) => {
    const number = first + index, change = what => edit(draft.with(index, { ...step, ...what }));
    const move = by => draft[index + by] && edit(draft.with(index, draft[index + by]).with(index + by, step));
    const moved = event => {
      const by = event.altKey && { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (by) move(by, event.preventDefault());
    };
    const small = (sign, title, does, disabled) => button(sign, does, "", { title, "aria-label": title, disabled });
    return html`<li key=${step.key}><b class=step>${number}</b>
      <${Select} aria-label="Tool of step ${number}" value=${step.tool} choose=${tool => change({ tool })} options=${[...new Set([step.tool, ...names])]} />
      <${Code} aria-label="Input of step ${number}" readonly=${step.big} text=${step.text} write=${text => change({ text })} onKeyDown=${moved} />
      <span class=tools-of>${small("↑", `Move step ${number} up (Alt+↑)`, () => move(-1), !index)}
        ${small("↓", `Move step ${number} down (Alt+↓)`, () => move(1), !draft[index + 1])}
        ${small("✕", `Remove step ${number}`, () => edit(draft.toSpliced(index, 1)))}</span>
      ${effectsOf(tools[step.tool])}</li>`;
  })}</ol>
    ${button("+ step", () => edit([...draft, { key: Math.random(), tool: names[0], text: "{}", reasoning: "", span: null }]), "plain")}
    ${wrong.map(fault => html`<p class=wrong>${fault}</p>`)}`;
}

const list = numbers => `step${numbers[1] ? "s" : ""} ${numbers.join(", ").replace(/, (\d+)$/, " and $1")}`;

const told = (before, numbers) => numbers[0] ? `${before}: ${list(numbers)}. ` : "";

const numbersOf = ({ plan: { steps } }) => steps.map(({ step }) => step);

const doneOf = record => numbersOf(record).filter(step => record.execution_log.findLast(entry => entry.step === step)?.status === "ok");

function Cancel({ record, record: { current }, send }) {
  const done = doneOf(record);
  return html`<${Form} send=${() => send("cancel")} look=danger words="Yes, cancel it">
    <p>${told("What is done stays", done) || "Nothing is done yet. "}${told("Not done", numbersOf(record).filter(step => !done.includes(step)))}
      ${current && !current.not_before && "The attempt under way is cut off; it may have acted by then. "}A cancelled run can be retried.</p><//>`;
}

function Retry({ record, send }) {
  const { plan: { steps }, error, execution_log } = record, done = doneOf(record);
  const stopped = error?.step ?? (steps.find(({ step }) => !done.includes(step)) ?? steps[0])?.step;
  const [from, begin] = useState(stopped), [skip, leave] = useState([]), [texts, write] = useState({});
  if (!steps[0]) {
    return html`<${Form} send=${() => send("retry", {})} words="Plan and run it again">
      <p>It has no plan: it is planned again, from the same words. Nothing was executed.</p><//>`;
  }
  const { input } = steps.find(one => one.step === from), planned = json(input);
  const text = texts[from] ?? planned, edited = text !== planned, { value, wrong } = parsed(text);
  const users = of => steps.filter(({ input }) => json(input).includes(`step_${of}_output`)).map(({ step }) => step);
  const needed = skip.filter(step => users(step).some(user => !skip.includes(user)));
  return html`<${Form} class=form send=${() => send("retry", { from_step: from, input: edited ? value : undefined, skip: skip[0] && skip })} unfit=${wrong} words="Retry from step ${from}">
    <label>Begin with <${Select} value=${from} choose=${step => begin(Number(step))}
      options=${steps.filter(({ step }) => step <= stopped).map(one => [one.step, `step ${one.step}: ${one.tool} ${brief(one.input)}`])} /></label>
    <label>Its input <${Code} readonly=${input.shortened === true} aria-invalid=${!!wrong} text=${text} write=${now => write({ ...texts, [from]: now })} /></label>
    ${wrong && html`<p class=wrong>It ${wrong}.</p>`}
    <fieldset><legend>Leave out</legend>${steps.filter(({ step }) => step >= from).map(({ step, tool }) =>
      check(skip.includes(step), on => leave(on ? [...skip, step] : skip.filter(one => one !== step)), `step ${step}: ${tool}`))}</fieldset>
    <p>${told("Not executed again", done.filter(one => one < from))}${told("Executed again, though done", done.filter(one => one >= from))}${told("Left out", skip)}
      ${edited && "The edited input is checked as a plan is. "}
      ${execution_log.some(entry => entry.step >= from && entry.may_have_acted) && "An attempt from here on may have changed something already. "}
      ${needed.map(step => `Step ${step} gives ${list(users(step))} its input: leaving it out will be refused. `)}</p><//>`;
}

function Approve({ record, send }) {
  const tools = useTools(), { approval, plan: { steps, rounds } } = record;
  const { first, last, then = "done" } = rounds?.at(-1) ?? { first: 1, last: steps.length };
  const asked = steps.filter(({ step }) => step >= first && step <= last);
  const proposed = drafted(asked), [draft, edit] = useState(proposed), edited = json(draft) !== json(proposed), wrong = faults(draft, edited);
  const sent = edited && !wrong[0] ? { steps: planOf(draft, first), then } : undefined;
  const fit = signal => post(`runs/${record.run_id}/approve`, { plan: sent, check: true }, { signal }).then(() => null, problem => problem.status && problem);
  const unfit = useRested(sent && json(sent), fit);
  const acting = draft.filter(({ tool }) => tools[tool]?.effects).length;
  return html`<section class="approve card" aria-labelledby=approve><h2 id=approve>Shall this be done?</h2>
    <p class=quiet>Nothing of it has been executed. It waits since ${timeOf(approval?.asked_at)}; unless somebody decides by ${timeOf(approval?.expires_at)}, the run is cancelled.</p>
    <ul>${approval?.tools?.flatMap(({ scope }) => scope ?? []).map(scope => html`<li>${scope}</li>`)}</ul>
    ${editor(draft, edit, tools, first, wrong)}${refusal(unfit)}
    <p>${counted(draft.length, "step")} will be executed${acting ? `, of which ${acting} ${acting === 1 ? "changes" : "change"} something` : "; none changes anything"}.
      ${edited && " It is your plan then; the proposed one stays in the record."}</p>
    <div class=row><${Form} send=${() => send("approve", sent && { plan: sent })} hotkey=a unfit=${wrong[0] || unfit} words=${edited ? "Approve the edited plan" : "Approve"}
        beside=${edited && button("As it was proposed", () => edit(proposed), "plain")} />
      <${Form} class="reason row" send=${fields => send("reject", fields)} look=danger words=Reject><label>Why not <input name=reason placeholder="a reason, kept in the record" /></label><//></div></section>`;
}

const DECISIONS = {
  done: "It has acted: the run goes on with the output that you give, and the step is not called again.",
  redo: "It has not acted: the step is called again. If it had acted after all, it acts twice.",
  skip: "The run goes on without it. Steps that use its output are refused.",
  fail: "The run fails here; it can be retried.",
};

function Resolve({ record: { in_doubt: { step, tool, known, learned, asked_at, expires_at } }, send }) {
  const decide = async ({ as, output }) => {
    const { value, wrong } = as === "done" ? parsed(output) : {};
    if (wrong) throw { message: `It ${wrong}.` };
    await send("resolve", { as, output: value });
  };
  return html`<section class="approve card" aria-labelledby=resolve><h2 id=resolve>Has step ${step}, <code>${tool}</code>, acted?</h2>
    <p>${known}</p>${learned && html`<p>Since then it is known that the call has ${learned.ended}: ${learned.detail}</p>`}
    <p class=quiet>Nobody knows, so nothing goes on since ${timeOf(asked_at)}; by ${timeOf(expires_at)} the run fails.</p>
    <${Form} class=form send=${decide} words=Decide>
      <fieldset><legend class=hidden>What became of it</legend>${Object.entries(DECISIONS).map(([name, said]) => html`<label class=check>
        <input type=radio name=as value=${name} required /> <b>${name}</b> ${said}</label>`)}</fieldset>
      <label class=output>What it has returned, as JSON <textarea name=output rows=2 defaultValue=null></textarea></label><//></section>`;
}

export function Fork({ record, from }) {
  const tools = useTools(), [prompt, write] = useState(record.prompt), [draft, edit] = useState(null);
  const edited = prompt !== record.prompt, wrong = draft ? faults(draft, true) : [];
  const fork = async () => {
    const state = { prompt: edited ? prompt : undefined, plan: draft ? { steps: planOf(draft, 1) } : undefined };
    const made = await post(`runs/${record.run_id}/fork`, { checkpoint_id: from.checkpoint_id, state: edited || draft ? state : undefined });
    location.hash = `#/runs/${made.run_id}`;
  };
  const will = draft ? "Steps that were done by then and are the same are not executed again; all others of your plan are."
    : edited ? "With other words it is planned anew, and all of that plan is executed."
      : from.cursor ? `${counted(from.cursor, "step")} done by then ${from.cursor === 1 ? "is" : "are"} not executed again.` : "Nothing was done by then: all of it is executed.";
  return html`<${Form} class=form send=${fork} unfit=${wrong[0]} words=Fork><label>The task <textarea rows=2 value=${prompt} onInput=${typed(write)}></textarea></label>
    ${draft ? editor(draft, edit, tools, 1, wrong)
      : record.plan.steps[0] && button("Edit its plan", () => edit(drafted(record.plan.steps)))}
    <p>A new run begins as this one was at ${clockTime(from.time)}; this one stays as it is. ${will}</p><//>`;
}

export function Actions({ record, reload }) {
  const { run_id, actions, status, current, approval, in_doubt } = record;
  const send = async (name, body) => {
    await post(`runs/${run_id}/${name}`, body);
    await reload();
  };
  const panel = (name, words, key, Panel, look) => actions.includes(name) && html`<${Opens} words="${words} …" class=${look} data-key=${key}>
    <section class="panel card" aria-label=${words}><${Panel} record=${record} send=${send} /></section><//>`;
  return html`
    ${actions.includes("approve") && html`<${Approve} key=${approval?.asked_at} record=${record} send=${send} />`}
    ${actions.includes("resolve") && in_doubt && html`<${Resolve} key=${in_doubt.asked_at} record=${record} send=${send} />`}
    <div class=actions>
      ${status === "running" && current?.not_before && html`<${Form} class=row send=${() => send("retry-now")} look="" hotkey=. words="Try again now"
        beside=${html`<small>makes the next attempt at once; nothing else changes</small>`} />`}
      ${panel("cancel", "Cancel", "c", Cancel)}${panel("retry", "Retry", "r", Retry, "primary")}</div>`;
}
