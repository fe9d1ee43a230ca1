// The frame of the page: where one is, whether it is live, and the key where one is wanted.
import { render } from "./vendor/preact.mjs";
import { useEffect, useRef, useState } from "./vendor/hooks.mjs";
import { call, live } from "./api.js";
import { clockTime, html } from "./words.js";
import { Runs } from "./runs/list.js";

// What few need at first is loaded when they come to it.
const PAGES = {
  run: () => import("./run/run.js"),
  threads: () => import("./threads/list.js"),
  thread: () => import("./threads/thread.js"),
  tools: () => import("./server/tools.js"),
  health: () => import("./server/health.js"),
};

// `#/runs/ID`, `#/tools`, and `#/?status=failed&text=milk`: what comes behind # is the page's alone.
function here() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, id] = path.split("/");
  const one = { runs: "run", threads: "thread" }[name];
  return { name: (id && one) || name || "runs", id, query: new URLSearchParams(query) };
}

function Live() {
  const [state, tell] = useState(live.state);
  useEffect(() => {
    live.watchers.add(tell);
    return () => live.watchers.delete(tell);
  }, []);
  const said = { off: "", live: "live", paused: `paused at ${clockTime(live.until)}`, lost: `not live: as of ${clockTime(live.until)}` }[state];
  return html`<span class=${`live l-${state}`} role="status" aria-live="polite">
    ${said && html`<span aria-hidden="true">${{ live: "●", paused: "■" }[state] ?? "◌"}</span> ${said}`}</span>
    ${said && html`<button class="plain" data-key="l" aria-pressed=${state === "paused"} title="Stand still, or go on (l)" onClick=${() => live.pause()}>${state === "paused" ? "Go on" : "Pause"}</button>`}`;
}

const THEMES = ["auto", "light", "dark"];

function theme(next) {
  const saved = next ?? localStorage.getItem("theme") ?? "auto";
  document.documentElement.dataset.theme = saved;
  localStorage.setItem("theme", saved);
  return saved;
}

function Login({ problem, entered }) {
  const [key, write] = useState("");
  const [wrong, tell] = useState(null);
  async function enter(event) {
    event.preventDefault();
    try {
      await call("session", { method: "POST", body: { key } });
      entered();
    } catch (error) {
      tell(error.status === 401 ? "That is none of this server's keys." : error.message);
    }
  }
  return html`<form class="login card" onSubmit=${enter}>
    <h1>A key, please</h1>
    <p>This server has keys: each sees its owner's runs. ${problem && problem.status !== 401 ? problem.message : ""}</p>
    <label for="key">Key</label>
    <input id="key" type="password" autocomplete="current-password" autofocus required value=${key}
      onInput=${(event) => write(event.target.value)} />
    <button class="primary">Enter</button>
    ${wrong && html`<p class="wrong" role="alert">${wrong}</p>`}
    <p class="quiet">The browser keeps a session that no script can read, until it is closed.</p>
  </form>`;
}

const KEYS = [
  ["n", "a new run"], ["/", "search runs"], ["j  k", "next and previous row"], ["Enter", "open the row"],
  ["w", "the waterfall of a run, with ↑ ↓ ← → in it"], ["e", "next error of a run"], ["[  ]", "previous and next tab of a run"],
  [".", "make the next attempt now"], ["c", "cancel the run"], ["r", "retry the run"], ["f", "fork the run"], ["a", "approve the plan"],
  ["l", "stand still, or go on live"], ["t", "light, dark, or as the system"],
  ["?", "these keys"], ["Esc", "back"],
];

const Keys = ({ close }) => html`<section class="card keys" aria-labelledby="keys">
  <h2 id="keys">Keys</h2>
  <dl>${KEYS.map(([key, what]) => html`<dt><kbd>${key}</kbd></dt><dd>${what}</dd>`)}</dl>
  <button onClick=${close}>Close</button></section>`;

// Where the server was away just when a part of the page was wanted.
const Unloaded = () => html`<p class="card" role="alert">The server does not answer, so this could not be loaded. <button onClick=${() => location.reload()}>Again</button></p>`;

function App() {
  const [place, go] = useState(here());
  const [wanted, want] = useState(null);
  const [session, know] = useState({ keys: false, owner: null });
  const [loaded, load] = useState({});
  const [shownTheme, show] = useState(theme());
  const [keys, showKeys] = useState(false);
  const was = useRef();
  const turn = () => show(theme(THEMES[(THEMES.indexOf(theme()) + 1) % 3]));

  const ask = () => call("session").then((told) => {
    know((before) => ({ ...told, newer: before.version && before.version !== told.version }));
    if (told.keys && !told.owner) want(new Error(""));
  }).catch(() => {});
  useEffect(() => {
    const moved = () => go(here());
    const refused = (event) => want(event.detail);
    addEventListener("hashchange", moved);
    document.addEventListener("key-wanted", refused);
    ask();
    const back = (state) => state === "live" && was.current === "lost" && ask();
    const watch = (state) => { back(state); was.current = state; };
    live.watchers.add(watch);
    return () => {
      live.watchers.delete(watch);
      removeEventListener("hashchange", moved);
      document.removeEventListener("key-wanted", refused);
    };
  }, []);
  useEffect(() => {
    if (PAGES[place.name] && !loaded[place.name]) {
      PAGES[place.name]().then((module) => load((before) => ({ ...before, [place.name]: module.default })),
        () => load((before) => ({ ...before, [place.name]: Unloaded })));
    }
    document.title = place.name === "runs" ? "Runwright" : `${place.name} · Runwright`;
  }, [place.name]);
  useEffect(() => {
    const pressed = (event) => {
      if (event.target.closest("input, textarea, select, [contenteditable]") || event.ctrlKey || event.metaKey || event.altKey) {
        if (event.key === "Escape") event.target.blur?.();
        return;
      }
      if (event.key === "?") showKeys((now) => !now);
      else if (event.key === "t") turn();
      else if (event.key === "Escape" && keys) showKeys(false);
      else if (["Escape", "n"].includes(event.key) && place.name !== "runs") location.hash = "#/";
      else {
        const target = document.querySelector(`[data-key~="${CSS.escape(event.key)}"]`);
        if (!target) return;
        event.preventDefault();
        if (target.matches("input, textarea, [role=treegrid]")) target.focus();
        else target.click();
      }
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, [place, keys]);

  async function leave() {
    await call("session", { method: "DELETE" });
    location.reload();
  }
  const tab = (name, words, hash) => html`<a href=${hash} aria-current=${place.name === name ? "page" : undefined}>${words}</a>`;
  const Page = place.name === "runs" ? Runs : loaded[place.name];
  return html`
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); document.getElementById("main").focus(); }}>Skip to the content</a>
    <header class="top">
      <a class="brand" href="#/">Runwright</a>
      <nav aria-label="Pages">${tab("runs", "Runs", "#/")}${tab("threads", "Threads", "#/threads")}${tab("tools", "Tools", "#/tools")}${tab("health", "Health", "#/health")}
        <a href="docs">API</a></nav>
      <${Live} />
      ${session.keys && session.owner && html`<span class="owner">${session.owner} <button class="plain" onClick=${leave}>Log out</button></span>`}
      <button class="plain" title="Light, dark, or as the system (t)" aria-label=${`Theme: ${shownTheme}`}
        onClick=${turn}>◑</button>
      <button class="plain" title="Keys (?)" aria-label="Keys" aria-expanded=${keys} onClick=${() => showKeys(!keys)}>?</button>
    </header>
    <main id="main" tabindex="-1">
      ${session.newer && html`<p class="card" role="alert">The server is of another version now. <button onClick=${() => location.reload()}>Reload the page</button></p>`}
      ${keys && html`<${Keys} close=${() => showKeys(false)} />`}
      ${wanted
        ? html`<${Login} problem=${wanted} entered=${() => { want(null); ask(); }} />`
        : Page
          ? html`<${Page} key=${place.id ?? place.name} id=${place.id} query=${place.query} />`
          : !PAGES[place.name] && place.name !== "runs" && html`<p>There is no such page. <a href="#/">Runs</a></p>`}
    </main>`;
}

render(html`<${App} />`, document.getElementById("app"));
