// One passage: where it stands, live, and its contours on its slices.

import { Card } from "./card.js";
import { announce, make, say } from "./dom.js";
import { Planes } from "./planes.js";
import { RoiList } from "./rois.js";
import { listen } from "./stream.js";
import { Viewer } from "./viewer.js";
import { Gone, Volume } from "./volume.js";
import { presets } from "./window.js";
import { capital, clock } from "./words.js";

const article = document.getElementById("passage");
const id = article.dataset.id;
const card = new Card(document.getElementById("card"));
const slider = document.getElementById("slider");
const GROWTH_MS = 3000;

const roiList = new RoiList({ toggled: drawContours, wanted: goTo });
const viewer = new Viewer(roiList.rois, {
  stepped: (by) => goTo(index + by),
  windowed: showWindow,
  picked: (column, row) => lookThrough([column, row]),
});

let passage = null;
let volume = null;
let planes = null;
let windows = [];
let index = 0;
let drawable = "";

listen(
  {
    snapshot: ({ passages }) => {
      const mine = passages.find((one) => one.id === id);
      if (mine) show(mine);
      else leave();
    },
    passages: ({ passages }) => passages.filter((one) => one.id === id).forEach(show),
    gone: ({ ids }) => ids.includes(id) && leave(),
  },
  { rests: true },
);
setInterval(() => passage && card.tick(), 1000);

function show(next) {
  const isNews = passage === null || passage.state !== next.state || growsAgain(next);
  if (passage && passage.state !== next.state) announce(`${next.pseudonym}: ${next.state}`);
  passage = next;
  document.title = document.title.replace(/(\) )?[^()]+ – /, `$1${next.pseudonym || "New passage"} – `);
  card.show(next);
  showHistory(next.history);
  showText(next);
  if (isNews) fetchPictures();
}

/** Where text was read in the pixels, while the passage is held for it. */
function showText({ reason, since }) {
  const figure = document.getElementById("text");
  const isRead = reason?.code === "DEID_BURNED_IN" && reason.facts.some(({ name }) => name === "places");
  figure.hidden = !isRead;
  const picture = figure.querySelector("img");
  const source = `/passages/${id}/text.png?${encodeURIComponent(since)}`;
  if (isRead && picture.getAttribute("src") !== source) picture.src = source;
  if (!isRead) picture.removeAttribute("src");
}

/** Whether more slices have arrived, and some time ago it was asked for them. */
function growsAgain({ received }) {
  return received !== passage.received && performance.now() - fetchedAt > GROWTH_MS;
}

/** The passage has left the gateway's memory; what this page still has of it goes as well. */
function leave() {
  volume?.stop();
  volume = null;
  document.getElementById("viewer").hidden = true;
  tellGone("This passage is no longer in the gateway’s memory.");
}

function tellGone(text) {
  const gone = document.getElementById("gone");
  gone.hidden = !text;
  say(gone, text);
}

function showHistory(history) {
  const lines = history.map(({ state, at, reason }) => {
    const line = make("li", {}, make("time", { dateTime: at, title: at }, clock(at)), " ", capital(state));
    line.dataset.state = state;
    if (reason) line.append(" ", make("code", {}, reason));
    return line;
  });
  document.getElementById("history").replaceChildren(...lines);
}

let fetchedAt = 0;
let isFetching = false;
let isStale = false;

/** Ask what can be drawn now; while an answer is awaited, news only marks it as stale. */
async function fetchPictures() {
  isStale = true;
  if (isFetching) return;
  isFetching = true;
  try {
    while (isStale) {
      isStale = false;
      fetchedAt = performance.now();
      const answer = await fetch(`/passages/${id}/pictures`);
      if (answer.ok) await showPictures(await answer.json());
    }
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // not connected: the stream says so and starts again
  } finally {
    isFetching = false;
  }
}

async function showPictures({ slices, rois }) {
  document.getElementById("viewer").hidden = slices === 0;
  const minutes = Math.round(Number(article.dataset.review) / 60);
  const kept = minutes ? `They are kept for ${minutes} min after delivery.` : "They are dropped at delivery.";
  const isOver = passage.group === "done";
  const isHidden = passage.reason?.code === "DEID_BURNED_IN";
  const hidden = "The slices are not shown, because there is text in their pixels.";
  tellGone(slices ? "" : isHidden ? hidden : isOver ? `The slices are no longer in memory. ${kept}` : "No slice can be shown yet.");
  if (slices === 0) {
    volume?.stop();
    volume = null;
    return;
  }
  const now = JSON.stringify([slices, rois]);
  if (volume && drawable === now) return;
  drawable = now;
  const isFirst = volume === null;
  volume?.stop();
  volume = new Volume(id, slices, () => planes?.draw());
  planes = new Planes(volume, roiList.rois, { wanted: goTo });
  roiList.show(rois, slices);
  const isDrawn = rois.length > 0;
  const none = document.getElementById("no-rois");
  none.hidden = isDrawn;
  say(none, isOver ? "None were returned." : "None yet: the contourer has not returned them.");
  slider.max = String(slices - 1);
  const here = isFirst ? (rois[0]?.slices[rois[0].slices.length >> 1] ?? slices >> 1) : index;
  await goTo(here);
  volume?.fetchAhead().catch(whenGone);
}

async function goTo(wanted) {
  if (!volume) return;
  index = Math.min(volume.count - 1, Math.max(0, wanted));
  volume.center = index;
  slider.value = String(index);
  say(document.getElementById("index"), `${index + 1} / ${volume.count}`);
  slider.setAttribute("aria-valuetext", `Slice ${index + 1} of ${volume.count}`);
  roiList.look(index);
  const busy = document.getElementById("busy");
  busy.hidden = volume.peek(index) !== undefined;
  try {
    const [from, asked] = [volume, index];
    const slice = await volume.get(asked);
    if (from !== volume || asked !== index) return; // overtaken
    showSlice(slice);
    busy.hidden = true;
  } catch (error) {
    whenGone(error);
  }
}

function whenGone(error) {
  if (!(error instanceof Gone) && !(error instanceof TypeError)) throw error;
  if (error instanceof Gone) fetchPictures();
}

function showSlice(slice) {
  if (!windows.length) {
    viewer.unit = passage.modality === "CT" ? "HU" : "";
    windows = presets(passage.modality, slice);
    viewer.window = { ...windows[0] };
    document.getElementById("windows").replaceChildren(...windows.map(windowButton));
    showWindow();
  }
  viewer.point ??= null;
  planes.point ??= viewer.point ?? [slice.columns >> 1, slice.rows >> 1];
  planes.index = index;
  planes.window = viewer.window;
  planes.areContoursHidden = viewer.areContoursHidden;
  viewer.showSlice(slice);
  planes.draw();
  const z = slice.position[2].toFixed(1).replace("-", "−");
  say(document.getElementById("position"), `Slice ${index + 1} of ${volume.count}  ·  z ${z} mm`);
}

function lookThrough(point) {
  viewer.point = point;
  if (planes) planes.point = point;
  drawContours();
}

function drawContours() {
  viewer.drawContours();
  if (planes) planes.areContoursHidden = viewer.areContoursHidden;
  planes?.draw();
}

function windowButton({ name, center, width }, number) {
  const button = make("button", { type: "button", title: `Level ${center}, width ${width} (${number + 1})` }, name);
  button.addEventListener("click", () => setWindow(number));
  return button;
}

function setWindow(number) {
  if (!windows[number]) return;
  const { center, width } = windows[number];
  viewer.window = { center, width };
  viewer.draw();
  showWindow();
}

function showWindow() {
  const { center, width } = viewer.window;
  const shown = (value) => String(Math.round(value)).replace("-", "−");
  say(document.getElementById("window"), `L ${shown(center)}  W ${shown(width)}`);
  [...document.getElementById("windows").children].forEach((button, number) => {
    const isIt = windows[number].center === center && windows[number].width === width;
    button.setAttribute("aria-pressed", String(isIt));
  });
  if (planes) {
    planes.window = viewer.window;
    planes.draw();
  }
}

slider.addEventListener("input", () => goTo(Number(slider.value)));
document.getElementById("zoom-in").addEventListener("click", () => viewer.zoomBy(1.5));
document.getElementById("zoom-out").addEventListener("click", () => viewer.zoomBy(1 / 1.5));
document.getElementById("zoom-fit").addEventListener("click", () => viewer.fit());

const KEYS = {
  ArrowUp: () => goTo(index + 1),
  ArrowDown: () => goTo(index - 1),
  ArrowRight: () => goTo(index + 1),
  ArrowLeft: () => goTo(index - 1),
  PageUp: () => goTo(index + 10),
  PageDown: () => goTo(index - 10),
  Home: () => goTo(0),
  End: () => goTo(volume.count - 1),
  "+": () => viewer.zoomBy(1.5),
  "=": () => viewer.zoomBy(1.5),
  "-": () => viewer.zoomBy(1 / 1.5),
  0: () => viewer.fit(),
  1: () => setWindow(0),
  2: () => setWindow(1),
  3: () => setWindow(2),
  4: () => setWindow(3),
  h: () => {
    viewer.areContoursHidden = !viewer.areContoursHidden;
    drawContours();
  },
};

// Where a key means something else (a control, a dialog), it keeps its meaning.
document.addEventListener("keydown", (event) => {
  const isOnControl = event.target.closest("input, button, a, dialog");
  const does = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!volume || !does || isOnControl || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  does();
});
