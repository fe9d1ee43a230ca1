// The graph that executes every run, with where this one is and where it has been.
import { once, useRead } from "../api.js";
import { html } from "../words.js";

const NODE = /^\s*(?<name>\w+)[([]/, EDGE = /^\s*(?<from>\w+) (?:-->|-\. (?<label>.*?) \.->) (?<to>\w+);/;

// Nodes stand in the order in which they are declared: arrows that lead on or back over some are arcs.
function parse(mermaid) {
  const found = form => mermaid.split("\n").flatMap(line => form.exec(line)?.groups ?? []);
  return { order: found(NODE).map(({ name }) => name), edges: found(EDGE) };
}

const read = () => once("graph", parse);

// The nodes that a run has been in, in order.
function pathOf({ started_at, plan, planned_by, execution_log, current, status }) {
  if (!started_at) return [];
  const path = ["__start__", "plan"];
  for (const { round, planned_by: by, first, last } of plan.rounds ?? []) {
    if (round > 1) path.push("plan");
    if (by?.source === "pattern") path.push("fallback_plan");
    for (const { step } of execution_log) if (step >= first && step <= last) path.push("execute_step");
  }
  if (planned_by?.source === "pattern" && !plan.steps.length) path.push("fallback_plan");
  if (current && path.at(-1) !== "execute_step") path.push("execute_step");
  if (status === "completed" || status === "failed") path.push("finalize", "__end__");
  return path;
}

const WIDE = 128, GAP = 52, HIGH = 30, MIDDLE = 78, TOP = MIDDLE - HIGH / 2;

export function Graph({ record }) {
  const [drawn] = useRead(read);
  if (!drawn?.order[0]) return null;
  const { order, edges } = drawn, path = pathOf(record), isEnd = name => name.startsWith("__");
  const here = record.status === "running" && path.at(-1), { current, limits } = record;
  const taken = new Set(path.slice(1).map((name, index) => `${path[index]} ${name}`));
  const place = {};
  let left = 6;
  order.forEach((name, index) => {
    const width = isEnd(name) ? 14 : WIDE;
    place[name] = { left, width, mid: left + width / 2, index };
    left += width + GAP;
  });
  const arrow = ({ from, to }) => {
    const a = place[from], b = place[to], by = b.index - a.index;
    if (!by) return `M${a.mid - 22} ${TOP} C${a.mid - 30} ${MIDDLE - 46} ${a.mid + 30} ${MIDDLE - 46} ${a.mid + 22} ${TOP - 2}`;
    if (by === 1) return `M${a.left + a.width} ${MIDDLE} L${b.left - 3} ${MIDDLE}`;
    const up = by > 0 ? -1 : 1, reach = Math.abs(by) * 13 + 14, y = MIDDLE + (up * HIGH) / 2;
    const x1 = a.mid - 14 * up, x2 = b.mid + 14 * up;
    return `M${x1} ${y} C${x1} ${y + up * reach} ${x2} ${y + up * reach} ${x2} ${y + up * 3}`;
  };
  const through = path.filter((name, index) => !isEnd(name) && name !== path[index - 1]).join(", ");
  const said = here ? `The run is in ${here}.` : through ? `The run went through ${through}.` : "The run has not begun.";
  return html`<figure class="graph card"><svg viewBox="0 0 ${left - GAP + 6} 132" role=img aria-label=${said}>
    <defs><marker id=head viewBox="0 0 6 6" refX=4 refY=3 markerWidth=7 markerHeight=7 orient=auto><path d="M0 0L6 3L0 6z" class=g-head /></marker></defs>
    ${edges.map(edge => html`<path class="g-edge ${taken.has(`${edge.from} ${edge.to}`) && "taken"}" d=${arrow(edge)} marker-end="url(#head)"><title>${edge.label?.replaceAll("&nbsp;", "")}</title></path>`)}
    ${order.map(name => {
      const { left: x, width, mid } = place[name], been = path.includes(name) && "been";
      return isEnd(name) ? html`<circle class="g-end ${been}" cx=${mid} cy=${MIDDLE} r=6 />`
        : html`<g class="g-node ${been} ${here === name && "here"}"><rect x=${x} y=${TOP} width=${width} height=${HIGH} rx=6 /><text x=${mid} y=${MIDDLE + 4}>${name}</text></g>`;
    })}
    ${here === "execute_step" && current?.attempt > 1 && html`<text class=g-note x=${place[here].mid} y=${MIDDLE - 42}>attempt ${current.attempt} of ${limits.max_attempts}</text>`}
  </svg></figure>`;
}
