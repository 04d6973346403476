// The list of passages, live.

import { Card } from "./card.js";
import { announce, say } from "./dom.js";
import { listen } from "./stream.js";

const GROUPS = ["held", "active", "done"];
const FILTERS = ["all", ...GROUPS];
const NONE = {
  held: "Nothing is held.",
  active: "Nothing is on the way.",
  done: "Nothing has ended yet.",
};

const cards = new Map();
const lists = new Map(GROUPS.map((group) => [group, document.querySelector(`#${group} .cards`)]));
const template = document.getElementById("card");

listen({
  snapshot({ passages }) {
    const here = new Set(passages.map((passage) => passage.id));
    remove([...cards.keys()].filter((id) => !here.has(id)));
    passages.forEach(put);
    arrange();
  },
  passages({ passages }) {
    passages.forEach(put);
    arrange();
  },
  gone({ ids }) {
    remove(ids);
    arrange();
  },
});

setInterval(() => {
  for (const card of cards.values()) if (card.passage.group !== "done") card.tick();
}, 1000);
addEventListener("hashchange", arrange);
for (const button of document.querySelectorAll("[data-filter]")) {
  button.addEventListener("click", () => {
    location.hash = button.dataset.filter;
  });
}

function put(passage) {
  let card = cards.get(passage.id);
  const before = card?.passage.state;
  if (!card) {
    card = new Card(template.content.firstElementChild.cloneNode(true));
    cards.set(passage.id, card);
  }
  card.show(passage);
  if (passage.state === "held" && before !== undefined && before !== "held") {
    announce(`${passage.pseudonym} is held: ${passage.reason.meaning}`);
  }
  place(card);
}

/** Put a card into its list: newest first. A card that stays where it is, is not touched. */
function place(card) {
  const list = lists.get(card.passage.group);
  const after = [...list.children].find(
    (other) => other !== card.root && other.dataset.started < card.passage.started,
  );
  card.root.dataset.started = card.passage.started;
  if (card.root.parentElement === list && card.root.nextElementSibling === (after ?? null)) return;
  const focused = card.root.contains(document.activeElement) ? document.activeElement : null;
  list.insertBefore(card.root, after ?? null);
  focused?.focus();
}

function remove(ids) {
  for (const id of ids) {
    cards.get(id)?.root.remove();
    cards.delete(id);
  }
}

function arrange() {
  const wanted = location.hash.slice(1);
  const filter = FILTERS.includes(wanted) ? wanted : "all";
  const counts = Object.fromEntries(GROUPS.map((group) => [group, lists.get(group).childElementCount]));
  for (const group of GROUPS) {
    document.getElementById(group).hidden = !counts[group] || ![group, "all"].includes(filter);
  }
  for (const button of document.querySelectorAll("[data-filter]")) {
    const which = button.dataset.filter;
    button.setAttribute("aria-pressed", String(which === filter));
    say(button.querySelector(".count"), String(which === "all" ? cards.size : counts[which]));
  }
  document.getElementById("filters").hidden = cards.size === 0;
  document.getElementById("first").hidden = cards.size !== 0;
  const none = document.getElementById("none");
  none.hidden = cards.size === 0 || filter === "all" || counts[filter] > 0;
  if (!none.hidden) say(none, NONE[filter]);
}
