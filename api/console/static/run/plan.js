// A plan in rows that can be edited: tools from the server's list, inputs as JSON, steps in any order.
import { once, useRead } from "../api.js";
import { Code, effectsOf, html, json, Select } from "../words.js";

const read = () => once("tools", ({ tools }) => Object.fromEntries(tools.map(tool => [tool.name, tool])));

export const useTools = () => useRead(read)[0] ?? {};

export function parsed(text, isInput = true) {
  try {
    const value = JSON.parse(text);
    return isInput && !/^{/.test(json(value)) ? { wrong: "must be an object, as {\"text\": \"milk\"}" } : { value };
  } catch ({ message }) {
    return { wrong: `is no JSON: ${message}` };
  }
}

export const drafted = steps => steps.map(({ input, ...step }) => ({ ...step, key: step.step, text: json(input), big: input.shortened === true }));

export const planOf = (draft, first) => draft.map(({ tool, text, reasoning, span }, index) => ({ step: first + index, tool, input: parsed(text).value, reasoning, span }));

// What the server would refuse at once. A large input is not here as a whole: a plan can be approved
// with it, but not sent.
export function faults(draft, tools, edited) {
  if (!draft.length) return ["A plan needs a step; reject it to do nothing."];
  return draft.flatMap(({ tool, text, big }, index) => {
    const { wrong, value } = parsed(text);
    const missing = (value && tools[tool]?.input_schema.required || []).filter(name => !(name in value));
    const fault = big ? edited && "its input is too large for this page; send the edited plan by POST /runs/…/approve"
      : wrong ? `its input ${wrong}` : missing[0] && `${tool} needs ${missing.join(", ")}`;
    return fault ? [`Step ${index + 1}: ${fault}.`] : [];
  });
}

export function editor(draft, edit, tools, first, wrong) {
  const names = Object.keys(tools);
  return html`<ol class=editor>${draft.map((step, index) => {
    const number = first + index, change = what => edit(draft.with(index, { ...step, ...what }));
    const move = by => draft[index + by] && edit(draft.with(index, draft[index + by]).with(index + by, step));
    const moved = event => {
      const by = event.altKey && { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (!by) return;
      event.preventDefault();
      move(by);
    };
    const button = (sign, label, off, does) => html`<button type=button aria-label=${label} title=${label} disabled=${off} onClick=${does}>${sign}</button>`;
    return html`<li key=${step.key}><b class=step>${number}</b>
      <${Select} aria-label="Tool of step ${number}" value=${step.tool} choose=${tool => change({ tool })} options=${[...new Set([step.tool, ...names])].map(name => [name])} />
      <${Code} aria-label="Input of step ${number}" readonly=${step.big} text=${step.text} write=${text => change({ text })} onKeyDown=${moved} />
      <span class=tools-of>${button("↑", `Move step ${number} up (Alt+↑)`, !index, () => move(-1))}
        ${button("↓", `Move step ${number} down (Alt+↓)`, !draft[index + 1], () => move(1))}
        ${button("✕", `Remove step ${number}`, false, () => edit(draft.toSpliced(index, 1)))}</span>
      ${effectsOf(tools[step.tool])}</li>`;
  })}</ol>
    <button type=button class=plain onClick=${() => edit([...draft, { key: Math.random(), tool: names[0], text: "{}", reasoning: "", span: null }])}>+ step</button>
    ${wrong.map(fault => html`<p class=wrong>${fault}</p>`)}`;
}
