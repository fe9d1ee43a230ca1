// The frame of the page: where one is, whether it is live, and the key.
import { render } from "./vendor/preact.mjs";
import { button, call, Form, hotkey, html, live, moment, post, useEffect, useState } from "./words.js";

const PAGES = {
  runs: () => import("./runs/runs.js"),
  run: () => import("./run/run.js"),
  threads: () => import("./threads/threads.js"),
  thread: () => import("./threads/threads.js"),
  tools: () => import("./server/tools.js"),
  health: () => import("./server/health.js"),
};

const TABS = { Runs: "", Threads: "threads", Tools: "tools", Health: "health" };

// As `#/runs/ID` or `#/?status=failed`: what comes behind # is the page's alone.
function here() {
  const [, name, id, query] = /^#?\/?(\w*)\/?([^?]*)\??(.*)$/.exec(location.hash);
  return { name: id ? name.replace(/s$/, "") : name || "runs", id, query: new URLSearchParams(query) };
}

PAGES[here().name]?.().catch(() => {}); // at once, beside all else

const LIVE = { live: ["●", "live"], paused: ["■", "paused at"], lost: ["◌", "not live: as of"] };

function Live() {
  const [state, tell] = useState(live.state);
  useEffect(() => live.watch(tell), []);
  const [glyph, said] = LIVE[state] ?? [], still = state === "paused";
  return html`<span class="live l-${state}" role=status>${said && html`<span aria-hidden=true>${glyph}</span> ${said}`}
      ${state !== "live" && said && ` ${moment(live.until)}`}</span>
    ${said && html`<button class=plain data-key=l aria-pressed=${still} title="Stand still, or go on" onClick=${() => live.pause()}>${still ? "Go on" : "Pause"}</button>`}`;
}

const THEMES = ["auto", "light", "dark"];

function Theme() {
  const [theme, show] = useState(localStorage.theme ?? "auto");
  localStorage.theme = document.documentElement.dataset.theme = theme;
  return html`<button class=plain data-key=t title="Light or dark" aria-label="Theme: ${theme}"
    onClick=${() => show(THEMES[(THEMES.indexOf(theme) + 1) % 3])}>◑</button>`;
}

function Login({ done }) {
  const enter = fields => post("session", fields).then(done, error => {
    throw error.status === 401 ? { message: "That is none of this server's keys." } : error;
  });
  return html`<${Form} class="login card" send=${enter} words=Enter>
    <h1>A key, please</h1>
    <p>This server has keys: each sees its owner's runs.</p>
    <label>Key<input name=key type=password autocomplete=current-password autofocus required /></label>
    <p class=quiet>The browser keeps a session that no script can read, until it is closed.</p><//>`;
}

function Keys() {
  const [found, tell] = useState([]);
  const look = () => tell([...document.querySelectorAll("[data-key]")].reverse().map(({ dataset, labels, title, ariaLabel, textContent }) => [dataset.key, labels?.[0]?.textContent || title || ariaLabel || textContent]));
  return html`<button class=plain data-key="?" aria-label=Keys popovertarget=keys>?</button>
    <section id=keys popover class="card keys" onBeforeToggle=${look}><h2>Keys</h2>
      <dl>${[...new Map([["↑ ↓ ← →", "In the waterfall"], ...found])].map(([key, what]) => html`<dt><kbd>${key}</kbd></dt><dd>${what}</dd>`)}</dl></section>`;
}

addEventListener("keydown", event => {
  const { key, target } = event, meant = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (target.closest("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) {
    if (key === "Escape") target.blur();
  } else if (meant && !(key === "Escape" && document.querySelector(":popover-open"))) { // it closes that
    event.preventDefault();
    meant.matches("input, textarea, [role=treegrid]") ? meant.focus() : meant.click();
  }
});

const reload = () => location.reload();

const goTo = hash => () => { location.hash = hash; };

const Unloaded = () => html`<p class=card role=alert>The server does not answer, so this could not be loaded. ${button("Again", reload)}</p>`;

let entered = 0;

function App() {
  const [place, go] = useState(here()), [loaded, load] = useState({}), { name, id, query } = place, Page = loaded[name];
  const [wanted, want] = useState(false), [session, know] = useState({});
  const ask = () => call("session").then(told => {
    know(({ version }) => ({ ...told, newer: version && version !== told.version }));
    if (told.keys && !told.owner) want(true);
  }).catch(() => {});
  useEffect(() => {
    addEventListener("hashchange", () => go(here()));
    // What was asked before the key was given may be refused after it.
    document.addEventListener("key-wanted", ({ detail }) => { if (detail > entered) want(true); });
    ask();
    let before;
    live.watch(state => {
      if (state === "live" && before === "lost") ask();
      before = state;
    });
  }, []);
  useEffect(() => {
    const came = page => load(before => ({ ...before, [name]: page }));
    PAGES[name]?.().then(module => came(module.default), () => came(Unloaded));
    document.title = name === "runs" ? "Runwright" : `${name} · Runwright`;
  }, [name]);
  const leave = () => call("session", { method: "DELETE" }).then(reload);
  const done = () => {
    entered = performance.now();
    want(false);
    ask();
  };
  return html`
    <a class=skip href="#main" onClick=${event => { event.preventDefault(); document.getElementById("main").focus(); }}>Skip to the content</a>
    <header class=top>
      <a class=brand href="#/">Runwright</a>
      <nav aria-label=Pages>${Object.entries(TABS).map(([tab, path]) => html`<a href="#/${path}" aria-current=${name === (path || "runs") ? "page" : null}>${tab}</a>`)}
        <a href=docs>API</a></nav>
      <${Live} />
      ${session.keys && session.owner && html`<span class=owner>${session.owner} ${button("Log out", leave, "plain")}</span>`}
      <${Theme} /><${Keys} />
    </header>
    <main id=main tabindex=-1>
      ${session.newer && html`<p class=card role=alert>The server is of another version now. ${button("Reload the page", reload)}</p>`}
      ${wanted ? html`<${Login} done=${done} />`
        : Page ? html`<${Page} key=${id || name} id=${id} query=${query} />`
          : !PAGES[name] && html`<p>There is no such page. <a href="#/">Runs</a></p>`}
      ${name !== "runs" && [hotkey("n", goTo("#/?prompt="), "A new run"), hotkey("Escape", goTo("#/"), "Back")]}
    </main>`;
}

render(html`<${App} />`, document.getElementById("app"));
