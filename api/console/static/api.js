// Calls of the server, and following its streams honestly.
import { useRef } from "./vendor/hooks.mjs";

// The page's own address without what a proxy may have put before it.
const at = (path) => new URL(path, document.baseURI.split("#")[0]).href;

export class Problem extends Error {
  constructor(status, body, retryAfter) {
    super(body?.detail ?? "The server does not answer.");
    this.status = status;
    this.title = body?.title ?? "No answer";
    this.errors = body?.errors ?? [];
    this.until = retryAfter && Date.now() + retryAfter * 1000;
  }
}

// What the server's clock shows, from the last time that it told.
export const clock = {
  skew: 0,
  sync(time) {
    this.skew = Date.parse(time) - Date.now();
  },
  now() {
    return Date.now() + this.skew;
  },
};

export async function call(path, { method = "GET", body, signal } = {}) {
  let answer;
  try {
    answer = await fetch(at(path), {
      method,
      signal,
      headers: body === undefined ? {} : { "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0);
  }
  if (answer.status === 204) return null;
  const isJson = (answer.headers.get("content-type") ?? "").includes("json");
  const told = isJson ? await answer.json().catch(() => null) : await answer.text();
  if (answer.ok) return told;
  const problem = new Problem(answer.status, told, Number(answer.headers.get("retry-after")) || null);
  if (answer.status === 401) document.dispatchEvent(new CustomEvent("key-wanted", { detail: problem }));
  throw problem;
}

// A reading that is asked for again and again: one at a time, and one more for all who asked meanwhile.
export function useReading(read) {
  const state = useRef({}).current;
  state.read = read;
  state.reload ??= async () => {
    if (state.busy) { state.again = true; return; }
    state.busy = true;
    await state.read();
    state.busy = false;
    if (state.again) { state.again = false; state.reload(); }
  };
  return state.reload;
}

// A heartbeat comes every 5 s: after so long without anything the stream is dead, whatever the
// socket says.
const SILENCE = 11_000;
const AGAIN = 1_000;

// Whether what is shown is live: "off", "live", "paused" by who watches, or "lost" with the time until
// which it was.
export const live = {
  state: "off",
  until: 0,
  watchers: new Set(),
  pause() {
    if (this.state === "off") return;
    this.tell(this.state === "paused" ? "lost" : "paused");
    document.dispatchEvent(new Event("visibilitychange"));
  },
  tell(state) {
    if (state === this.state) return;
    if (state === "paused" || (state === "lost" && this.state === "off")) this.until = clock.now();
    this.state = document.documentElement.dataset.live = state;
    for (const watcher of this.watchers) watcher(state);
  },
};

// Follow a stream of events. `path` gives its address after the last number that was seen; `onEvent`
// gets type and data, and "opened" each time that it is connected, with how often it was before: what
// was missed is read then.
export function follow(path, types, onEvent, last = 0) {
  let source, again, heard = Date.now(), opened = 0, ended = false;

  function alive() {
    heard = Date.now();
    live.until = clock.now();
    live.tell("live");
  }
  function close() {
    clearTimeout(again);
    source?.close();
    source = undefined;
  }
  function lost() {
    live.tell("lost");
    if (source?.readyState !== EventSource.CONNECTING) {
      close();
      call("runs?limit=1").catch(() => {}); // which tells whether a key is wanted
      again = setTimeout(open, AGAIN);
    }
  }
  function open() {
    close();
    heard = Date.now();
    source = new EventSource(at(path(last)));
    source.onopen = () => {
      alive();
      onEvent("opened", opened++);
    };
    source.onerror = lost;
    for (const type of [...types, "heartbeat"]) {
      source.addEventListener(type, (event) => {
        const data = JSON.parse(event.data);
        if (type === "heartbeat") clock.sync(data.server_time);
        alive();
        if (event.lastEventId) last = Number(event.lastEventId);
        if (type !== "heartbeat") onEvent(type, data);
        if (type === "end") stop();
      });
    }
  }
  const watch = setInterval(() => {
    if (ended || unwatched() || Date.now() - heard < SILENCE) return;
    live.tell("lost");
    open();
  }, 1000);
  // A browser has few connections to a server: what nobody sees needs none.
  const unwatched = () => document.hidden || live.state === "paused";
  const shown = () => {
    if (unwatched()) close();
    else open();
  };
  function stop() {
    ended = true;
    clearInterval(watch);
    document.removeEventListener("visibilitychange", shown);
    close();
    live.tell("off");
  }
  document.addEventListener("visibilitychange", shown);
  shown();
  return stop;
}
