// What a person decides about a held passage: asked once more, then told to the gateway.

import { part, say } from "./dom.js";

const EFFECTS = {
  release: (passage) =>
    `It goes back to “${passage.held_from}” and on from there. Do this when the reason is dealt with.`,
  cancel: () => "It ends here: nothing is delivered, and its images are dropped. This cannot be undone.",
};
const VERBS = { release: "Release", cancel: "Cancel the passage" };

/** Ask, and if confirmed, do. what: "release" or "cancel". */
export function askToDecide(what, passage) {
  const dialog = document.getElementById("decision");
  const confirm = part(dialog, "confirm");
  const problem = part(dialog, "problem");
  say(dialog.querySelector("h2"), `${what === "release" ? "Release" : "Cancel"} ${passage.pseudonym}?`);
  say(part(dialog, "effect"), EFFECTS[what](passage));
  say(part(dialog, "code"), passage.reason?.code ?? "");
  say(part(dialog, "meaning"), passage.reason?.meaning ?? "");
  say(part(dialog, "hint"), passage.reason?.hint ?? "");
  say(confirm, VERBS[what]);
  confirm.disabled = false;
  confirm.classList.toggle("grave", what === "cancel");
  problem.hidden = true;
  part(dialog, "dismiss").onclick = () => dialog.close();
  confirm.onclick = async () => {
    confirm.disabled = true;
    const failure = await tell(what, passage.id);
    if (failure === null) {
      dialog.close();
      return;
    }
    say(problem, failure);
    problem.hidden = false;
    confirm.disabled = false;
  };
  dialog.showModal();
  part(dialog, "dismiss").focus();
}

async function tell(what, id) {
  try {
    const answer = await fetch(`/api/passages/${id}/${what}`, {
      method: "POST",
      headers: { "X-Contourgate": "console" },
    });
    return answer.ok ? null : (await answer.json()).error.reason;
  } catch {
    return "The gateway does not answer. Nothing was changed.";
  }
}
