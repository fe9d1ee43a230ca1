// A plan in rows that can be edited: tools from the server's list, inputs as JSON, steps in any order.
import { useEffect, useState } from "../vendor/hooks.mjs";
import { call } from "../api.js";
import { brief, html, json } from "../words.js";

let known;

// The tools of the server by their names; asked for once.
export function useTools() {
  const [tools, show] = useState({});
  useEffect(() => {
    known ??= call("tools").then((told) => Object.fromEntries(told.tools.map((tool) => [tool.name, tool])));
    known.then(show, () => { known = undefined; });
  }, []);
  return tools;
}

export const Effects = ({ tool }) => tool?.effects && html`<span class="effects" title="A call of it changes something">⚠ changes something</span>`;

export const Plan = ({ steps, tools = {} }) => html`<ol class="plan">${steps.map((step) => html`<li>
  <b class="step">${step.step}</b> <code>${step.tool}</code> <span>${brief(step.input)}</span> <${Effects} tool=${tools[step.tool]} /></li>`)}</ol>`;

export function parsed(text) {
  try {
    const value = JSON.parse(text);
    if (value !== null && typeof value === "object" && !Array.isArray(value)) return { value };
    return { wrong: "must be an object, as {\"text\": \"milk\"}" };
  } catch (error) {
    return { wrong: error.message };
  }
}

// Steps as they are edited: `text` is the input as it is typed.
export const drafted = (steps) => steps.map((step) => ({ key: step.step, tool: step.tool, text: json(step.input), big: step.input.shortened === true, reasoning: step.reasoning, span: step.span }));

export function planOf(draft, first) {
  return draft.map(({ tool, text, reasoning, span }, index) => ({ step: first + index, tool, input: parsed(text).value, reasoning, span }));
}

// What the server would refuse at once, in words; it checks the rest when the plan is sent. A large
// input is not here as a whole, so that the plan can be approved with it but not sent.
export function faults(draft, tools, edited) {
  if (!draft.length) return ["A plan needs a step; reject it to do nothing."];
  return draft.flatMap(({ tool, text, big }, index) => {
    if (big) return edited ? [`Step ${index + 1}: its input is too large for this page; send the edited plan by POST /runs/…/approve.`] : [];
    const { wrong } = parsed(text);
    const missing = (tools[tool]?.input_schema.required ?? []).filter((name) => !wrong && !(name in parsed(text).value));
    return [
      wrong && `Step ${index + 1}: its input ${wrong}.`,
      missing.length > 0 && `Step ${index + 1}: ${tool} needs ${missing.join(", ")}.`,
    ].filter(Boolean);
  });
}

export function Editor({ draft, edit, tools, first }) {
  const change = (index, what) => edit(draft.map((step, place) => (place === index ? { ...step, ...what } : step)));
  const move = (index, by) => {
    const to = index + by;
    if (to < 0 || to >= draft.length) return;
    const next = [...draft];
    [next[index], next[to]] = [next[to], next[index]];
    edit(next);
  };
  const names = Object.keys(tools);
  return html`<ol class="editor">${draft.map((step, index) => html`<li key=${step.key}>
      <b class="step">${first + index}</b>
      <select aria-label=${`Tool of step ${first + index}`} value=${step.tool} onChange=${(event) => change(index, { tool: event.target.value })}>
        ${[...new Set([step.tool, ...names])].map((name) => html`<option value=${name} selected=${name === step.tool}>${name}</option>`)}</select>
      <textarea aria-label=${`Input of step ${first + index}`} rows=${Math.min(8, step.text.split("\n").length)} spellcheck=${false} readonly=${step.big} value=${step.text}
        onInput=${(event) => change(index, { text: event.target.value })}
        onKeyDown=${(event) => { const by = { ArrowUp: -1, ArrowDown: 1 }[event.key]; if (event.altKey && by) { event.preventDefault(); move(index, by); } }}></textarea>
      <span class="tools-of"><button type="button" title="Earlier (Alt+↑)" aria-label=${`Move step ${first + index} up`} disabled=${index === 0} onClick=${() => move(index, -1)}>↑</button>
        <button type="button" title="Later (Alt+↓)" aria-label=${`Move step ${first + index} down`} disabled=${index === draft.length - 1} onClick=${() => move(index, 1)}>↓</button>
        <button type="button" aria-label=${`Remove step ${first + index}`} onClick=${() => edit(draft.filter((_, place) => place !== index))}>✕</button></span>
      <${Effects} tool=${tools[step.tool]} /></li>`)}</ol>
    <button type="button" class="plain" onClick=${() => edit([...draft, { key: Math.random(), tool: names[0] ?? "", text: "{}", reasoning: "", span: null }])}>+ step</button>`;
}
