// Calls of the server, and following its streams honestly.
import { useEffect, useRef, useState } from "./vendor/hooks.mjs";

const problemOf = (status, body, retryAfter) => Object.assign(new Error(body?.detail ?? "The server does not answer."), {
  status, title: body?.title ?? "No answer", errors: body?.errors, until: retryAfter && Date.now() + retryAfter * 1000,
});

// The server's clock, as it told last.
export const clock = {
  skew: 0,
  sync(time) { this.skew = Date.parse(time) - Date.now(); },
  now() { return Date.now() + this.skew; },
};

// Paths are relative: a proxy may have put something before all of them.
export async function call(path, { method = "GET", body, signal } = {}) {
  const headers = body && { "content-type": "application/json" }, asked = performance.now();
  const answer = await fetch(path, { method, signal, headers, body: body && JSON.stringify(body) })
    .catch(error => { throw error.name === "AbortError" ? error : problemOf(0); });
  if (answer.status === 204) return null;
  const isJson = answer.headers.get("content-type")?.includes("json");
  const told = isJson ? await answer.json().catch(() => null) : await answer.text();
  if (answer.ok) return told;
  if (answer.status === 401) document.dispatchEvent(new CustomEvent("key-wanted", { detail: asked }));
  throw problemOf(answer.status, told, Number(answer.headers.get("retry-after")));
}

export const post = (path, body, options) => call(path, { method: "POST", body, ...options });

export function every(ms, does) {
  const timer = setInterval(does, ms);
  return () => clearInterval(timer);
}

// What changes only with the server is asked for once.
const kept = {};

export const once = (path, make) => kept[path] ??= call(path).then(make).catch(problem => { delete kept[path]; throw problem; });

// What is at a path, or what `from` gives, the problem of the last time, and how to read again: one
// reading at a time, and one more for all who asked meanwhile.
export function useRead(from, ...after) {
  const [[value, problem], show] = useState([null, null]), own = useRef({}).current;
  if (!from.call) after.push(from);
  Object.assign(own, { read: from.call ? from : () => call(from), after: after.join() });
  own.again ??= async () => {
    if (own.busy) { own.due = true; return; }
    for (own.busy = own.due = true; own.due;) {
      own.due = false;
      const asked = own.after, fresh = change => asked === own.after && show(change);
      await own.read().then(told => fresh([told, null]), wrong => fresh(([before]) => [before, wrong]));
    }
    own.busy = false;
  };
  useEffect(() => { own.again(); }, after);
  return [value, problem, own.again];
}

// What `ask` gives about a text, once its typing has rested for so long, in ms.
const REST = 150;

export function useRested(text, ask) {
  const [[about, told], tell] = useState([]);
  useEffect(() => {
    const aborted = new AbortController();
    const timer = setTimeout(() => text && ask(aborted.signal).then(found => tell([text, found]), () => {}), REST);
    return () => { clearTimeout(timer); aborted.abort(); };
  }, [text]);
  return about === text ? told : undefined;
}

// Whether what is shown is live, or "paused" by who watches, or "lost", and until when it was.
export const live = {
  state: "off",
  until: Date.now(),
  watchers: new Set(),
  watch(told) {
    this.watchers.add(told);
    return () => this.watchers.delete(told);
  },
  pause() {
    if (this.state === "off") return;
    this.until = clock.now();
    this.tell(this.state === "paused" ? "lost" : "paused");
    document.dispatchEvent(new Event("visibilitychange"));
  },
  tell(state) {
    if (state === this.state) return;
    this.state = document.documentElement.dataset.live = state;
    for (const told of this.watchers) told(state);
  },
};

// A heartbeat comes every 5 s: after so many ms without one the stream is dead, whatever the socket says.
const SILENCE = 11_000, AGAIN = 1_000;

// `path` gives the address of a stream after the last event that was seen; "opened" tells `onEvent` each
// time that it is connected, with how often it was before: what was missed is read then.
export function follow(path, types, onEvent, last = 0) {
  let source, again, heard, opened = 0;
  const alive = () => {
    heard = Date.now();
    live.until = clock.now();
    live.tell("live");
  };
  const close = () => {
    clearTimeout(again);
    source?.close();
  };
  const open = () => {
    close();
    heard = Date.now();
    source = new EventSource(path(last));
    source.onopen = () => { alive(); onEvent("opened", opened++); };
    source.onerror = ({ target }) => {
      live.tell("lost");
      if (target.readyState === EventSource.CONNECTING) return;
      close();
      call("runs?limit=1").catch(() => {}); // which tells whether a key is wanted
      again = setTimeout(open, AGAIN);
    };
    for (const type of [...types, "heartbeat"]) {
      source.addEventListener(type, event => {
        const data = JSON.parse(event.data);
        if (event.lastEventId) last = Number(event.lastEventId);
        type === "heartbeat" ? clock.sync(data.server_time) : onEvent(type, data);
        alive();
        if (type === "end") stop();
      });
    }
  };
  // A browser has few connections to a server: what nobody sees needs none.
  const unwatched = () => document.hidden || live.state === "paused";
  const unwatch = every(1000, () => {
    if (unwatched() || Date.now() - heard < SILENCE) return;
    live.tell("lost");
    open();
  });
  const shown = () => unwatched() ? close() : open();
  const stop = () => {
    unwatch();
    document.removeEventListener("visibilitychange", shown);
    close();
    live.tell("off");
  };
  document.addEventListener("visibilitychange", shown);
  shown();
  return stop;
}

// Changes of runs that come as close together, in ms, are told once.
const PAUSE = 250;

export function followChanges(changed, concerns = () => true) {
  let timer;
  const stop = follow(() => "runs/stream", ["run.changed"], (type, change) => {
    if (type !== "opened" && !concerns(change)) return;
    clearTimeout(timer);
    timer = setTimeout(changed, PAUSE);
  });
  return () => { clearTimeout(timer); stop(); };
}
