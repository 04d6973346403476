// The gateway at a glance: the lamp at the top and the notices below it; and what waits before each destination.

import { make, mark, say } from "./dom.js";
import { showQueues } from "./queues.js";
import { count } from "./words.js";

let shown = "";

/** Show a status (`StatusView` of the gateway). */
export function showStatus(status) {
  const lamp = document.getElementById("readiness");
  mark(lamp, status.is_ready ? "ready" : status.is_draining ? "draining" : "unready");
  say(lamp.lastElementChild, status.is_ready ? "Taking series" : status.is_draining ? "Draining" : "Not ready");
  document.title = document.title.replace(/^(\(\d+ held\) )?/, status.held ? `(${status.held} held) ` : "");

  const notices = [];
  if (status.held) {
    const text = `${count(status.held, "passage needs", "passages need")} a person`;
    notices.push({ is: "held", text, link: { href: "/#held", text: "Show" } });
  }
  if (status.late) {
    const text = `${count(status.late, "passage is", "passages are")} late: not delivered by the deadline`;
    notices.push({ is: "late", text, link: { href: "/#all", text: "Show" } });
  }
  for (const alarm of status.alarms) {
    const about = /^[0-9a-f]{32}$/.test(alarm.about) ? `passage ${alarm.about.slice(0, 8)}` : alarm.about;
    const facts = alarm.facts.map(({ name, value }) => `${name} ${value}`);
    const told = [about, ...facts].filter(Boolean).join(", ");
    notices.push({ is: "alarm", text: told ? `${alarm.meaning} (${told})` : alarm.meaning, more: alarm.hint });
  }
  for (const reason of status.reasons) {
    notices.push({ is: status.is_draining ? "draining" : "unready", text: reason.meaning, more: reason.hint });
  }
  for (const waiver of status.waivers) {
    notices.push({
      is: "waived",
      text: `Lockdown waived until ${waiver.until}: ${waiver.protection}`,
      more: waiver.reason,
    });
  }
  showQueues(status.queues);
  const next = JSON.stringify(notices);
  if (next === shown) return;
  shown = next;
  document.getElementById("notices").replaceChildren(...notices.map(notice));
}

function notice({ is, text, more, link }) {
  const line = make("p", { className: "notice" }, make("b", {}, text));
  line.dataset.is = is;
  if (more) line.append(" ", make("span", {}, more));
  if (link) line.append(" ", make("a", { href: link.href }, link.text));
  return line;
}
