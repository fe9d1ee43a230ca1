// The frame of the page: where one is, whether it is live, and the key where one is wanted.
import { render } from "./vendor/preact.mjs";
import { call, live, post } from "./api.js";
import { clockTime, Form, html, useEffect, useRef, useState } from "./words.js";

// Each is loaded when one comes to it.
const PAGES = {
  runs: () => import("./runs/runs.js"),
  run: () => import("./run/run.js"),
  threads: () => import("./threads/threads.js").then(({ Threads }) => Threads),
  thread: () => import("./threads/threads.js").then(({ Thread }) => Thread),
  tools: () => import("./server/tools.js"),
  health: () => import("./server/health.js"),
};

const TABS = { Runs: "", Threads: "threads", Tools: "tools", Health: "health" };

// `#/runs/ID`, `#/tools`, and `#/?status=failed&text=milk`: what comes behind # is the page's alone.
function here() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, id] = path.split("/");
  const one = { runs: "run", threads: "thread" }[name];
  return { name: (id && one) || name || "runs", id, query: new URLSearchParams(query) };
}

PAGES[here().name]?.().catch(() => {}); // at once, beside all else

const LIVE = { live: ["●", "live"], paused: ["■", "paused at"], lost: ["◌", "not live: as of"] };

function Live() {
  const [state, tell] = useState(live.state);
  useEffect(() => live.watch(tell), []);
  const [glyph, said] = LIVE[state] ?? [], still = state === "paused";
  return html`<span class="live l-${state}" role=status aria-live=polite>${said && html`<span aria-hidden=true>${glyph}</span> ${said}`}
      ${state !== "live" && said && ` ${clockTime(live.until)}`}</span>
    ${said && html`<button class=plain data-key=l aria-pressed=${still} title="Stand still, or go on (l)" onClick=${() => live.pause()}>${still ? "Go on" : "Pause"}</button>`}`;
}

const THEMES = ["auto", "light", "dark"];

function theme(next = localStorage.getItem("theme") ?? "auto") {
  localStorage.setItem("theme", document.documentElement.dataset.theme = next);
  return next;
}

function Login({ problem, done }) {
  const enter = fields => post("session", fields).then(done, error => {
    throw error.status === 401 ? { message: "That is none of this server's keys." } : error;
  });
  return html`<${Form} class="login card" send=${enter} button=Enter>
    <h1>A key, please</h1>
    <p>This server has keys: each sees its owner's runs. ${problem.status !== 401 && problem.message}</p>
    <label>Key<input name=key type=password autocomplete=current-password autofocus required /></label>
    <p class=quiet>The browser keeps a session that no script can read, until it is closed.</p><//>`;
}

// What has a key on this page, by the words that it has itself.
function Keys() {
  const [found, tell] = useState([]);
  const look = () => tell([...document.querySelectorAll("[data-key]")].map(({ dataset, labels, title, ariaLabel, textContent }) => [dataset.key, labels?.[0]?.textContent || title || ariaLabel || textContent]));
  const keys = { n: "A new run", ...Object.fromEntries(found), "↑ ↓ ← →": "In the waterfall", Esc: "Back" };
  return html`<section id=keys popover class="card keys" onBeforeToggle=${look}><h2>Keys</h2>
    <dl>${Object.entries(keys).map(([key, what]) => html`<dt><kbd>${key}</kbd></dt><dd>${what}</dd>`)}</dl><button popovertarget=keys>Close</button></section>`;
}

const reload = () => location.reload();

// Where the server was away just when a part of the page was wanted.
const Unloaded = () => html`<p class=card role=alert>The server does not answer, so this could not be loaded. <button onClick=${reload}>Again</button></p>`;

function App() {
  const [place, go] = useState(here());
  const [wanted, want] = useState(null);
  const [session, know] = useState({});
  const [loaded, load] = useState({});
  const [shownTheme, show] = useState(theme());
  const pressed = useRef(), entered = useRef(0);
  const turn = () => show(theme(THEMES[(THEMES.indexOf(shownTheme) + 1) % 3]));

  const ask = () => call("session").then(told => {
    know(({ version }) => ({ ...told, newer: version && version !== told.version }));
    if (told.keys && !told.owner) want({});
  }).catch(() => {});
  useEffect(() => {
    addEventListener("hashchange", () => go(here()));
    // What was asked before the key was given may be refused after it.
    document.addEventListener("key-wanted", ({ detail }) => { if (detail.asked > entered.current) want(detail); });
    addEventListener("keydown", event => pressed.current(event));
    ask();
    let before;
    live.watch(state => {
      if (state === "live" && before === "lost") ask();
      before = state;
    });
  }, []);
  const { name } = place;
  useEffect(() => {
    const came = page => load(before => ({ ...before, [name]: page }));
    if (PAGES[name] && !loaded[name]) PAGES[name]().then(module => came(module.default ?? module), () => came(Unloaded));
    document.title = name === "runs" ? "Runwright" : `${name} · Runwright`;
  }, [name]);
  // By what is drawn: effects may run after the next key.
  pressed.current = event => {
    const { key, target } = event;
    if (target.closest("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) {
      if (key === "Escape") target.blur();
    } else if (key === "Escape" && document.querySelector(":popover-open")) return; // it closes that
    else if (["Escape", "n"].includes(key) && name !== "runs" && !document.querySelector(`main [data-key=${key}]`)) location.hash = key === "n" ? "#/?prompt=" : "#/";
    else {
      const meant = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
      if (!meant) return;
      event.preventDefault();
      meant.matches("input, textarea, [role=treegrid]") ? meant.focus() : meant.click();
    }
  };

  const leave = () => call("session", { method: "DELETE" }).then(reload);
  const toMain = event => {
    event.preventDefault();
    document.getElementById("main").focus();
  };
  const done = async () => {
    entered.current = performance.now();
    want(null);
    ask();
  };
  const Page = loaded[name];
  return html`
    <a class=skip href="#main" onClick=${toMain}>Skip to the content</a>
    <header class=top>
      <a class=brand href="#/">Runwright</a>
      <nav aria-label=Pages>${Object.entries(TABS).map(([tab, path]) => html`<a href="#/${path}" aria-current=${name === (path || "runs") ? "page" : null}>${tab}</a>`)}
        <a href=docs>API</a></nav>
      <${Live} />
      ${session.keys && session.owner && html`<span class=owner>${session.owner} <button class=plain onClick=${leave}>Log out</button></span>`}
      <button class=plain data-key=t title="Light, dark, or as the system (t)" aria-label="Theme: ${shownTheme}" onClick=${turn}>◑</button>
      <button class=plain data-key="?" title="Keys (?)" aria-label=Keys popovertarget=keys>?</button>
      <${Keys} />
    </header>
    <main id=main tabindex=-1>
      ${session.newer && html`<p class=card role=alert>The server is of another version now. <button onClick=${reload}>Reload the page</button></p>`}
      ${wanted ? html`<${Login} problem=${wanted} done=${done} />`
        : Page ? html`<${Page} key=${place.id ?? name} id=${place.id} query=${place.query} />`
          : !PAGES[name] && html`<p>There is no such page. <a href="#/">Runs</a></p>`}
    </main>`;
}

render(html`<${App} />`, document.getElementById("app"));
