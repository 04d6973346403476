// The stream of events: one EventSource, opened again for as long as the page is looked at.

import { clock, setClock } from "./words.js";
import { mark, say } from "./dom.js";
import { showStatus } from "./status.js";

const SILENCE_MS = 25000; // the gateway says something at least every ten seconds
const AGAIN_MS = 3000;

/**
 * Listen to the gateway.
 *
 * handlers: an object of functions by event name (snapshot, passages, gone); each gets the event's data.
 * rests: whether the stream may be closed while the page is hidden (a browser opens six connections to a host).
 */
export function listen(handlers, { rests = false } = {}) {
  let source = null;
  let silence = 0;
  let again = 0;
  let heard = null;

  function open() {
    close();
    source = new EventSource("/events");
    for (const name of ["snapshot", "passages", "gone", "status", "beat"]) {
      source.addEventListener(name, (event) => receive(name, JSON.parse(event.data)));
    }
    source.onerror = lost;
    waitForSilence();
  }

  function close() {
    source?.close();
    source = null;
    clearTimeout(silence);
    clearTimeout(again);
  }

  function receive(name, data) {
    setClock(data.now);
    heard = data.now;
    show("live", "Live");
    waitForSilence();
    handlers[name]?.(data);
    if (data.status) showStatus(data.status);
  }

  function lost() {
    close();
    show("lost", heard ? `Not connected since ${clock(heard)}` : "Not connected");
    again = setTimeout(open, AGAIN_MS);
  }

  function waitForSilence() {
    clearTimeout(silence);
    silence = setTimeout(lost, SILENCE_MS);
  }

  if (rests) {
    document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  }
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && open());
  open();
}

function show(state, text) {
  const line = document.getElementById("line");
  mark(line, state);
  say(line.lastElementChild, text);
  document.body.classList.toggle("stale", state === "lost");
}
