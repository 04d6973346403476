// The gateway at a glance: the lamp at the top and the notices below it.

import { make, mark, say } from "./dom.js";
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
