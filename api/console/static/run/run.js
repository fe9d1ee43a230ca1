// One run: what was asked, where it is, and where its time went.
import { call, clock, counted, duration, facts, html, isSettled, once, pieces, refusal, stateOf, unread, useEffect, useRead, useState } from "../words.js";
import { Actions } from "./actions.js";
import { metadataOf, nowOf, outcomeOf, recordOf, Spoken, useFollowed } from "./outcome.js";
import { Tabs } from "./tabs.js";
import { detailOf, Waterfall } from "./waterfall.js";

function useRun(id) {
  const [run, wrong, reload] = useRead(async () => {
    const explain = () => call(`runs/${id}/explain`);
    let [record, explained] = await Promise.all([recordOf(id), explain()]);
    clock.sync(record.server_time);
    // The run may have ended between the two answers.
    if (isSettled(record) && explained.until !== record.completed_at) explained = await explain();
    return { record, explained };
  }, id);
  // A settled run has no more events, unless somebody retries it.
  return { run, wrong, reload, ...useFollowed(run && !isSettled(run.record) && run.record, reload, change => change.run_id === id) };
}

const sentenceOf = ({ prompt, plan: { steps }, error, execution_log }) => pieces(prompt, [...steps, ...error?.unparsed ?? []]).map(({ text, over }) => {
  if (!over[0]) return text;
  const { step, tool } = over.at(-1), made = execution_log.findLastIndex(entry => entry.step === step);
  return step ? html`<button class=placed data-step=${step} data-to=${made < 0 ? null : `a${made}`} title="step ${step}: ${tool}">${text}<sup class=step>${step}</sup></button>`
    : html`<span class=unplaced title="not understood">${text}</span>`;
});

function light({ currentTarget, target }) {
  const step = target.closest("[data-step]")?.dataset.step;
  for (const one of currentTarget.querySelectorAll("[data-step]")) one.classList.toggle("lit", one.dataset.step === step);
}

// The graph, with where this run is and has been.
const NODE = /^\s*(?<name>\w+)[([]/, EDGE = /^\s*(?<from>\w+) (?:-->|-\. &nbsp;(?<label>.*?)&nbsp; \.->) (?<to>\w+);/;

const WIDE = 128, GAP = 52, HIGH = 30, MIDDLE = 78;

const isEnd = name => name.startsWith("__");

// Nodes stand as they are declared; arrows over others are arcs.
function parse(mermaid) {
  const found = form => mermaid.split("\n").flatMap(line => form.exec(line)?.groups ?? []);
  let left = 6;
  const nodes = found(NODE).map(({ name }, index) => {
    const width = isEnd(name) ? 14 : WIDE, node = { name, index, left, width, mid: left + width / 2 };
    left += width + GAP;
    return node;
  });
  const arrow = ({ from, to, label }) => ({ step: `${from} ${to}`, label, d: arc(...[from, to].map(end => nodes.find(({ name }) => name === end))) });
  return { nodes, edges: found(EDGE).map(arrow), wide: left - GAP + 6 };
}

function arc(a, b) {
  const by = b.index - a.index;
  if (!by) return `M${a.mid - 22} ${MIDDLE - HIGH / 2}c-8 -31 52 -31 44 -2`;
  if (by === 1) return `M${a.left + a.width} ${MIDDLE}H${b.left - 3}`;
  const up = by > 0 ? -1 : 1, reach = up * (Math.abs(by) * 13 + 14), x = a.mid - 14 * up, over = b.mid + 14 * up - x;
  return `M${x} ${MIDDLE + (up * HIGH) / 2}c0 ${reach} ${over} ${reach} ${over} ${up * 3}`;
}

const readGraph = () => once("graph", parse);

function Graph({ record, path }) {
  const [drawn] = useRead(readGraph);
  if (!drawn?.nodes[0]) return null;
  const { nodes, edges, wide } = drawn, { status, current, limits } = record, here = status === "running" && path.at(-1);
  const taken = new Set(path.slice(1).map((name, index) => `${path[index]} ${name}`));
  const through = path.filter((name, index) => !isEnd(name) && name !== path[index - 1]).join(", ");
  const said = here ? `The run is in ${here}.` : through ? `The run went through ${through}.` : "The run has not begun.";
  return html`<figure class="graph card"><svg viewBox="0 0 ${wide} 132" role=img aria-label=${said}>
    <defs><marker id=head viewBox="0 0 6 6" refX=4 refY=3 markerWidth=7 markerHeight=7 orient=auto><path d="M0 0L6 3L0 6z" class=g-head /></marker></defs>
    ${edges.map(({ step, d, label }) => html`<path class="g-edge ${taken.has(step) && "taken"}" d=${d} marker-end="url(#head)"><title>${label}</title></path>`)}
    ${nodes.map(({ name, left, width, mid }) => {
      const high = isEnd(name) ? width : HIGH;
      return [html`<g class="g-node ${path.includes(name) && "been"} ${here === name && "here"}"><rect x=${left} y=${MIDDLE - high / 2} width=${width} height=${high} rx=7 />
        <text x=${mid} y=${MIDDLE + 4}>${!isEnd(name) && name}</text></g>`,
        here === name && current?.attempt > 1 && html`<text class=g-note x=${mid} y=${MIDDLE - 42}>attempt ${current.attempt} of ${limits.max_attempts}</text>`];
    })}</svg></figure>`;
}

function Facts({ place, said }) {
  const [health] = useRead(async () => place && call("health"), place), pace = health?.runs.ends_per_s;
  return html`<p class=facts>${facts(...said, place && `place ${place} in the queue${pace ? `, about ${duration(place / pace * 1000)}` : ""}`)}</p>`;
}

function Gone() {
  const [told] = useRead("doctor"), days = told?.settings.find(({ name }) => name === "RUNWRIGHT_RETENTION")?.value;
  return html`<p class=quiet>Somebody may have deleted it${days > 0 && html`, or it was settled more than ${days} days ago and removed (<code>RUNWRIGHT_RETENTION</code>)`}.</p>`;
}

// The eye is led to what went wrong; else to the attempt that was made last.
function first({ status, execution_log: log, planning_log, current }) {
  const bad = status === "failed" ? log.findLastIndex(entry => entry.status !== "ok") : -1, last = bad < 0 ? log.length - 1 : bad;
  if (bad < 0 && current && !current.not_before) return "c";
  return last < 0 ? planning_log[0] && `p${planning_log.length - 1}` : `a${last}`;
}

const link = run => html` <a href="#/runs/${run}">${run.slice(0, 8)}</a>`;

export default function Run({ id, query }) {
  const [chosen, select] = useState(query.get("at")), { run, wrong, reload, progress, answer } = useRun(id), { record, explained } = run ?? {};
  const choose = ({ target }) => {
    const { at, to = at } = target.closest("[data-at], [data-to]")?.dataset ?? {};
    if (!to) return;
    select(to);
    history.replaceState(null, "", `#/runs/${id}?at=${to}`);
  };
  useEffect(() => { if (run) document.title = `${record.status}: ${record.prompt.slice(0, 60)} · Runwright`; }, [record?.status]);
  if (!run) {
    return !wrong || wrong.status === 401 ? unread(wrong) : html`<section class=card><h1>${wrong.title}</h1>${refusal(wrong)}
      ${wrong.status === 404 && html`<${Gone} />`}<p><a href="#/">All runs</a></p></section>`;
  }
  const { conversation, forked_from, forks, posted_by, thread_id, metadata, status } = record;
  const at = chosen && (chosen !== "c" || record.current) ? chosen : first(record);
  return html`<article class=run onClick=${choose} onMouseOver=${light} onMouseLeave=${light} onFocusIn=${light}>
    <p class=crumb><a href="#/">‹ Runs</a> <code class=quiet>${id}</code>${metadataOf(metadata)}
      ${posted_by && ` ${forked_from ? "forked" : "posted"} by ${posted_by},`}
      ${thread_id && html` of <a href="#/threads/${thread_id}">its thread</a>${conversation && `, with ${counted(conversation.turns.length, "earlier run")} in mind`}`}
      ${forked_from && html` forked from${link(forked_from.run_id)}`}${forks[0] && html` forks:${forks.map(link)}`}</p>
    <h1 class=sentence>${sentenceOf(record)}</h1>
    <div class=state>${stateOf(status)}<${Facts} place=${record.queue_position} said=${explained.facts} /></div>
    ${outcomeOf(record, explained.causes)}${nowOf(record, answer, progress)}
    <${Spoken} of=${record} progress=${progress} />${wrong?.status > 0 && refusal(wrong)}
    <${Actions} record=${record} reload=${reload} />
    <${Graph} record=${record} path=${explained.path} />
    <div class=beside><${Waterfall} record=${record} explained=${explained} chosen=${at} />${at && detailOf(at, record, explained)}</div>
    <ul class=sentences-told>${explained.sentences.map(sentence => html`<li>${sentence}</li>`)}</ul>
    <${Tabs} record=${record} /></article>`;
}
