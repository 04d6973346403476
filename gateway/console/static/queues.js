// What waits before each destination, and the switch that pauses it.

import { make, say } from "./dom.js";

let shown = "";

/** Show the queues, where the page has a place for them. */
export function showQueues(queues) {
  const section = document.getElementById("queues");
  const next = JSON.stringify(queues);
  if (section === null || next === shown) return;
  shown = next;
  section.hidden = queues.length === 0;
  const focused = section.contains(document.activeElement) ? document.activeElement.dataset.name : null;
  const list = section.querySelector("ul");
  list.replaceChildren(...queues.map(line));
  [...list.querySelectorAll("button")].find((button) => button.dataset.name === focused)?.focus();
}

function line({ name, waiting, is_paused, reason }) {
  const button = make("button", { type: "button" }, is_paused ? "Resume" : "Pause");
  button.dataset.name = name;
  button.setAttribute("aria-label", `${is_paused ? "Resume" : "Pause"} deliveries to ${name}`);
  button.addEventListener("click", () => turn(button, name, is_paused ? "resume" : "pause"));
  const state = is_paused ? "Paused" : reason ? "Tried again by itself" : "Open";
  const item = make(
    "li",
    {},
    make("b", {}, name),
    make("span", { className: "switch" }, state),
    make("span", { className: "quiet" }, waiting ? `${waiting} waiting` : "nothing waits"),
    make("span", { className: "quiet" }, reason ? `${reason.code}: ${reason.meaning}` : ""),
    button,
  );
  item.dataset.is = is_paused ? "paused" : reason ? "troubled" : "open";
  return item;
}

async function turn(button, name, how) {
  button.disabled = true;
  const problem = document.getElementById("queues-problem");
  let failure = "The gateway does not answer. Nothing was changed.";
  try {
    const answer = await fetch(`/api/destinations/${encodeURIComponent(name)}/${how}`, {
      method: "POST",
      headers: { "X-Contourgate": "console" },
    });
    failure = answer.ok ? "" : (await answer.json()).error.reason;
  } catch {
    // told below
  }
  button.disabled = false;
  say(problem, failure);
  problem.hidden = failure === "";
}
