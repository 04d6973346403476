// The list of ROIs: which are shown, in which colour, on which slices.

import { say } from "./dom.js";
import { count } from "./words.js";

export class RoiList {
  /** told: { toggled(), wanted(index) }. */
  constructor(told) {
    this.told = told;
    this.rois = new Map();
    this.list = document.getElementById("rois");
    this.template = document.getElementById("roi");
    document.getElementById("all-on").addEventListener("click", () => this.#toggleAll(true));
    document.getElementById("all-off").addEventListener("click", () => this.#toggleAll(false));
  }

  /** Show the ROIs of a passage (`RoiView`s of the gateway); what was switched off stays off. */
  show(rois, slices) {
    const before = new Map(this.rois);
    this.rois.clear();
    for (const { key, name, colour, slices: on } of rois) {
      this.rois.set(key, { name, colour, on, isShown: before.get(key)?.isShown ?? true });
    }
    this.list.replaceChildren(...[...this.rois].map(([key, roi]) => this.#item(key, roi, slices)));
    say(document.getElementById("roi-count"), rois.length ? String(rois.length) : "");
    for (const id of ["all-on", "all-off"]) document.getElementById(id).hidden = rois.length === 0;
  }

  /** Mark those that are on the slice that is looked at. */
  look(index) {
    for (const item of this.list.children) {
      item.classList.toggle("here", this.rois.get(item.dataset.roi).on.includes(index));
    }
  }

  #item(key, roi, slices) {
    const item = this.template.content.firstElementChild.cloneNode(true);
    item.dataset.roi = key;
    item.querySelector("bdi").textContent = roi.name;
    item.querySelector(".swatch").style.backgroundColor = roi.colour;
    const box = item.querySelector("input");
    box.checked = roi.isShown;
    box.addEventListener("change", () => {
      roi.isShown = box.checked;
      this.told.toggled();
    });
    // Where it lies between the first and the last slice, as a small bar to click on.
    const extent = item.querySelector(".extent");
    const [first, last] = [roi.on[0], roi.on[roi.on.length - 1]];
    extent.style.setProperty("--from", `${(100 * first) / slices}%`);
    extent.style.setProperty("--to", `${(100 * (last + 1)) / slices}%`);
    extent.style.setProperty("--colour", roi.colour);
    extent.setAttribute("aria-label", `Go to it: ${count(roi.on.length, "slice", "slices")}`);
    extent.addEventListener("click", () => this.told.wanted(roi.on[roi.on.length >> 1]));
    return item;
  }

  #toggleAll(isShown) {
    for (const roi of this.rois.values()) roi.isShown = isShown;
    for (const box of this.list.querySelectorAll("input")) box.checked = isShown;
    this.told.toggled();
  }
}
