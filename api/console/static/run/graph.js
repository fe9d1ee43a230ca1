// The graph that executes every run, with where this one is and where it has been.
import { once, useRead } from "../api.js";
import { html } from "../words.js";

const NODE = /^\s*(?<name>\w+)[([]/, EDGE = /^\s*(?<from>\w+) (?:-->|-\. (?<label>.*?) \.->) (?<to>\w+);/;

const WIDE = 128, GAP = 52, HIGH = 30, MIDDLE = 78;

const isEnd = name => name.startsWith("__");

// Nodes stand as they are declared; arrows over some of them are arcs.
function parse(mermaid) {
  const found = form => mermaid.split("\n").flatMap(line => form.exec(line)?.groups ?? []);
  let left = 6;
  const nodes = found(NODE).map(({ name }, index) => {
    const width = isEnd(name) ? 14 : WIDE, node = { name, index, left, width, mid: left + width / 2 };
    left += width + GAP;
    return node;
  });
  const arrow = ({ from, to, label }) => ({ step: `${from} ${to}`, label, d: line(...[from, to].map(end => nodes.find(({ name }) => name === end))) });
  return { nodes, edges: found(EDGE).map(arrow), wide: left - GAP + 6 };
}

function line(a, b) {
  const by = b.index - a.index;
  if (!by) return `M${a.mid - 22} ${MIDDLE - HIGH / 2}c-8 -31 52 -31 44 -2`;
  if (by === 1) return `M${a.left + a.width} ${MIDDLE}H${b.left - 3}`;
  const up = by > 0 ? -1 : 1, reach = up * (Math.abs(by) * 13 + 14), x = a.mid - 14 * up, over = b.mid + 14 * up - x;
  return `M${x} ${MIDDLE + (up * HIGH) / 2}c0 ${reach} ${over} ${reach} ${over} ${up * 3}`;
}

const read = () => once("graph", parse);

function pathOf({ started_at, plan, planned_by, execution_log, current, status }) {
  if (!started_at) return [];
  const path = ["__start__", "plan"], planned = by => by?.source === "pattern" && path.push("fallback_plan");
  for (const { round, planned_by: by, first, last } of plan.rounds ?? []) {
    if (round > 1) path.push("plan");
    planned(by);
    for (const { step } of execution_log) if (step >= first && step <= last) path.push("execute_step");
  }
  if (!plan.steps.length) planned(planned_by);
  if (current && path.at(-1) !== "execute_step") path.push("execute_step");
  if (status === "completed" || status === "failed") path.push("finalize", "__end__");
  return path;
}

export function Graph({ record }) {
  const [drawn] = useRead(read);
  if (!drawn?.nodes[0]) return null;
  const { nodes, edges, wide } = drawn, { status, current, limits } = record, path = pathOf(record), here = status === "running" && path.at(-1);
  const taken = new Set(path.slice(1).map((name, index) => `${path[index]} ${name}`));
  const through = path.filter((name, index) => !isEnd(name) && name !== path[index - 1]).join(", ");
  const said = here ? `The run is in ${here}.` : through ? `The run went through ${through}.` : "The run has not begun.";
  return html`<figure class="graph card"><svg viewBox="0 0 ${wide} 132" role=img aria-label=${said}>
    <defs><marker id=head viewBox="0 0 6 6" refX=4 refY=3 markerWidth=7 markerHeight=7 orient=auto><path d="M0 0L6 3L0 6z" class=g-head /></marker></defs>
    ${edges.map(({ step, d, label }) => html`<path class="g-edge ${taken.has(step) && "taken"}" d=${d} marker-end="url(#head)"><title>${label?.replaceAll("&nbsp;", "")}</title></path>`)}
    ${nodes.map(({ name, left, width, mid }) => {
      const high = isEnd(name) ? width : HIGH;
      return [html`<g class="g-node ${path.includes(name) && "been"} ${here === name && "here"}"><rect x=${left} y=${MIDDLE - high / 2} width=${width} height=${high} rx=7 />
        <text x=${mid} y=${MIDDLE + 4}>${!isEnd(name) && name}</text></g>`,
        here === name && current?.attempt > 1 && html`<text class=g-note x=${mid} y=${MIDDLE - 42}>attempt ${current.attempt} of ${limits.max_attempts}</text>`];
    })}</svg></figure>`;
}
