// Whether all is well: what the doctor found, ill things first.

import { make, mark, say } from "./dom.js";
import { listen } from "./stream.js";
import { capital, clock } from "./words.js";

const ORDER = ["ill", "caution", "well"];
const VERDICTS = { green: "Green: nothing is ill", red: "Red" };

const verdict = document.getElementById("verdict");
const again = document.getElementById("again");

listen({}, { rests: true });
again.addEventListener("click", look);
look();

async function look() {
  again.disabled = true;
  let found = null;
  try {
    const answer = await fetch("/api/doctor");
    if (answer.ok) found = await answer.json();
  } catch {
    found = null; // told below
  }
  again.disabled = false;
  if (found === null) {
    mark(verdict, "unknown");
    say(verdict, "The gateway does not answer");
    return;
  }
  mark(verdict, found.verdict);
  say(verdict, VERDICTS[found.verdict]);
  say(document.getElementById("at"), `As of ${clock(found.at)}`);
  const sorted = found.diagnoses.toSorted((a, b) => ORDER.indexOf(a.finding) - ORDER.indexOf(b.finding));
  document.getElementById("diagnoses").replaceChildren(...sorted.map(line));
}

function line({ finding, subject, text }) {
  const item = make(
    "li",
    {},
    make("span", { className: "finding" }, capital(finding)),
    make("span", { className: "subject" }, subject),
    make("span", {}, text),
  );
  item.dataset.is = finding;
  return item;
}
