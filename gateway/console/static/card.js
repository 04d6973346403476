// One passage as a card: who, where it stands, its way, its numbers, and why it is held.

import { make, mark, part, say } from "./dom.js";
import { askToDecide } from "./decide.js";
import { between, capital, clock, count, duration, running } from "./words.js";

export class Card {
  /** root: an element with the parts of the template; it is filled in, never built. */
  constructor(root) {
    this.root = root;
    this.passage = null;
    this.stages = new Map(
      [...part(root, "way").children].map((item) => [
        item.dataset.state,
        { item, took: item.querySelector(".took") },
      ]),
    );
    for (const what of ["release", "cancel"]) {
      part(root, what).addEventListener("click", () => askToDecide(what, this.passage));
    }
  }

  show(passage) {
    this.passage = passage;
    const { root } = this;
    root.dataset.group = passage.group;
    root.dataset.state = passage.state;
    const link = part(root, "link");
    say(link, passage.pseudonym || "New passage");
    if (link instanceof HTMLAnchorElement) link.href = `/passages/${passage.id}`;
    say(part(root, "modality"), passage.modality || "?");
    say(part(root, "source"), passage.source);
    say(part(root, "model"), passage.model || "no rule");
    this.#showDestinations(passage);
    say(part(root, "state"), capital(passage.state));
    say(part(root, "numbers"), numbers(passage));
    this.#showWay(passage);
    this.#showWaiting(passage);
    this.#showReason(passage);
    this.tick();
  }

  /** Let what runs run on; called every second. */
  tick() {
    const { passage } = this;
    const isOver = passage.group === "done";
    part(this.root, "late").hidden = !passage.is_late;
    const elapsed = part(this.root, "elapsed");
    if (isOver) {
      say(elapsed, `${clock(passage.since)} · ${duration(between(passage.started, passage.since))} in all`);
    } else {
      say(elapsed, `for ${running(between(passage.since))}`);
      const here = passage.way.find((stage) => stage.is_current);
      if (here && passage.state !== "held") {
        say(this.stages.get(here.state).took, running(here.seconds + between(passage.since)));
      }
    }
    elapsed.title = `since ${new Date(passage.since).toLocaleString()}`;
  }

  #showDestinations(passage) {
    const key = JSON.stringify(passage.destinations);
    const list = part(this.root, "destinations");
    if (list.dataset.key === key) return;
    list.dataset.key = key;
    list.replaceChildren(
      ...passage.destinations.map(({ name, has_it }) => {
        const title = has_it ? "has confirmed" : "does not have it yet";
        const item = make("span", { className: "destination", title }, name);
        item.dataset.is = has_it ? "delivered" : "waiting";
        if (has_it) item.append(make("span", { className: "unseen" }, " (delivered)"));
        return item;
      }),
    );
    if (!passage.destinations.length) list.append("nowhere");
  }

  #showWay(passage) {
    const reached = passage.way.findLastIndex((stage) => stage.entered !== null);
    passage.way.forEach((stage, index) => {
      const { item, took } = this.stages.get(stage.state);
      let is = stage.entered === null ? "ahead" : "done";
      if (stage.is_current) is = passage.state === "held" ? "held" : "current";
      if (index === reached && ["failed", "cancelled"].includes(passage.state)) is = passage.state;
      mark(item, is);
      if (stage.is_current) item.setAttribute("aria-current", "step");
      else item.removeAttribute("aria-current");
      const isLast = stage.state === "delivered";
      if (stage.entered === null) say(took, "");
      else if (isLast) say(took, clock(stage.entered));
      else if (is !== "current") say(took, duration(stage.seconds));
      item.title = stage.entered === null ? "" : `${capital(stage.state)} at ${clock(stage.entered)}`;
    });
  }

  #showWaiting({ waiting }) {
    part(this.root, "waiting").hidden = waiting === null;
    if (waiting === null) return;
    say(part(this.root, "waiting-code"), waiting.code);
    say(part(this.root, "waiting-meaning"), waiting.meaning);
  }

  #showReason(passage) {
    const block = part(this.root, "reason");
    block.hidden = passage.reason === null;
    if (passage.reason === null) return;
    say(part(block, "code"), passage.reason.code);
    say(part(block, "meaning"), passage.reason.meaning);
    say(part(block, "hint"), passage.reason.hint);
    const facts = part(block, "facts");
    const key = JSON.stringify(passage.reason.facts);
    if (facts.dataset.key !== key) {
      facts.dataset.key = key;
      facts.replaceChildren(
        ...passage.reason.facts.map(({ name, value }) =>
          make("div", {}, make("dt", {}, name), make("dd", {}, value)),
        ),
      );
    }
    for (const what of ["release", "cancel"]) part(block, what).hidden = !passage.may.includes(what);
    part(block, "decisions").hidden = passage.may.length === 0;
  }
}

function numbers({ state, received, uploaded, destinations }) {
  const slices = count(received, "slice", "slices");
  if (state === "delivered") return slices;
  const told = [slices, `${uploaded} uploaded`];
  const has = destinations.filter((destination) => destination.has_it).length;
  const isOver = ["failed", "cancelled"].includes(state);
  if (has || !isOver) told.push(`${has} of ${destinations.length} delivered`);
  return told.join(" · ");
}
