// The graph that executes every run, with where this one is and where it has been.
import { useEffect, useState } from "../vendor/hooks.mjs";
import { call } from "../api.js";
import { html } from "../words.js";

const NODE = /^\s*(\w+)[([]/;
const EDGE = /^\s*(\w+) (?:-->|-\. (.*?) \.->) (\w+);/;

let drawing;

// Nodes stand in the order in which they are declared: arrows that lead on or back over some are arcs.
function parse(mermaid) {
  const order = [], edges = [];
  for (const line of mermaid.split("\n")) {
    const edge = EDGE.exec(line), node = NODE.exec(line);
    if (edge) edges.push({ from: edge[1], to: edge[3], label: (edge[2] ?? "").replaceAll("&nbsp;", "") });
    else if (node) order.push(node[1]);
  }
  return { order, edges };
}

// The nodes that a run has been in, in order.
function path(record) {
  if (!record.started_at) return [];
  const way = ["__start__", "plan"];
  for (const round of record.plan.rounds ?? []) {
    if (round.round > 1) way.push("plan");
    if (round.planned_by?.source === "pattern") way.push("fallback_plan");
    for (const entry of record.execution_log) if (entry.step >= round.first && entry.step <= round.last) way.push("execute_step");
  }
  if (record.planned_by?.source === "pattern" && !record.plan.steps.length) way.push("fallback_plan");
  if (record.current && way.at(-1) !== "execute_step") way.push("execute_step");
  if (record.status === "completed" || record.status === "failed") way.push("finalize", "__end__");
  return way;
}

export function Graph({ record }) {
  const [drawn, show] = useState(null);
  useEffect(() => {
    drawing ??= call("graph").then(parse);
    drawing.then(show, () => {});
  }, []);
  if (!drawn?.order.length) return null;
  const { order, edges } = drawn;
  const way = path(record);
  const here = record.status === "running" ? way.at(-1) : null;
  const taken = new Set(way.slice(1).map((name, index) => `${way[index]} ${name}`));
  const WIDE = 128, GAP = 52, HIGH = 30, MIDDLE = 78;
  const width = order.map((name) => (name.startsWith("__") ? 14 : WIDE));
  const left = order.map((_, index) => 6 + width.slice(0, index).reduce((sum, one) => sum + one + GAP, 0));
  const total = left.at(-1) + width.at(-1) + 6;
  const at = (name) => order.indexOf(name), mid = (index) => left[index] + width[index] / 2;
  const arrow = ({ from, to }) => {
    const a = at(from), b = at(to);
    const x1 = left[a] + width[a], x2 = left[b];
    if (a === b) { const x = mid(a); return `M${x - 22} ${MIDDLE - HIGH / 2} C${x - 30} ${MIDDLE - 46} ${x + 30} ${MIDDLE - 46} ${x + 22} ${MIDDLE - HIGH / 2 - 2}`; }
    if (b === a + 1) return `M${x1} ${MIDDLE} L${x2 - 3} ${MIDDLE}`;
    const up = b > a ? -1 : 1, reach = Math.abs(b - a) * 13 + 14;
    const from_x = mid(a) - 14 * up, to_x = mid(b) + 14 * up;
    const y = MIDDLE + (up * HIGH) / 2;
    return `M${from_x} ${y} C${from_x} ${y + up * reach} ${to_x} ${y + up * reach} ${to_x} ${y + up * 3}`;
  };
  const attempt = record.current?.attempt;
  const said = here ? `The run is in ${here}.` : way.length ? `The run went through ${way.filter((name, index) => !name.startsWith("__") && name !== way[index - 1]).join(", ")}.` : "The run has not begun.";
  return html`<figure class="graph card"><svg viewBox=${`0 0 ${total} 132`} role="img" aria-label=${said}>
    <defs><marker id="head" viewBox="0 0 6 6" refX="4" refY="3" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path d="M0 0L6 3L0 6z" class="g-head" /></marker></defs>
    ${edges.map((edge) => html`<path class=${`g-edge ${taken.has(`${edge.from} ${edge.to}`) ? "taken" : ""}`} d=${arrow(edge)} marker-end="url(#head)"><title>${edge.label}</title></path>`)}
    ${order.map((name, index) => name.startsWith("__")
      ? html`<circle class=${`g-end ${way.includes(name) ? "been" : ""}`} cx=${left[index] + 7} cy=${MIDDLE} r="6" />`
      : html`<g class=${`g-node ${way.includes(name) ? "been" : ""} ${here === name ? "here" : ""}`}>
          <rect x=${left[index]} y=${MIDDLE - HIGH / 2} width=${width[index]} height=${HIGH} rx="6" />
          <text x=${mid(index)} y=${MIDDLE + 4} text-anchor="middle">${name}</text></g>`)}
    ${here === "execute_step" && attempt > 1 && html`<text class="g-note" x=${mid(at(here))} y=${MIDDLE - 42} text-anchor="middle">attempt ${attempt} of ${record.limits.max_attempts}</text>`}
  </svg></figure>`;
}
