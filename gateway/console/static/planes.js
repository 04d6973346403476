// The coronal and the sagittal plane through a point, put together from the slices that are here.

import { shade } from "./window.js";

export class Planes {
  /** told: { wanted(index) }. */
  constructor(volume, rois, told) {
    this.volume = volume;
    this.rois = rois;
    this.told = told;
    this.point = null;
    this.window = null;
    this.index = 0;
    this.areContoursHidden = false;
    this.frame = 0;
    this.canvases = { coronal: document.getElementById("coronal"), sagittal: document.getElementById("sagittal") };
    for (const canvas of Object.values(this.canvases)) {
      canvas.onpointerdown = (event) => {
        canvas.setPointerCapture(event.pointerId);
        this.#pick(canvas, event);
      };
      canvas.onpointermove = (event) => event.buttons & 1 && this.#pick(canvas, event);
    }
  }

  /** Draw at the next frame, however often it is asked for until then. */
  draw() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.#draw("coronal");
      this.#draw("sagittal");
    });
  }

  #pick(canvas, event) {
    const box = canvas.getBoundingClientRect();
    const line = Math.floor(((event.clientY - box.top) / box.height) * this.volume.count);
    const clamped = Math.min(this.volume.count - 1, Math.max(0, line));
    this.told.wanted(this.isFlipped ? this.volume.count - 1 - clamped : clamped);
  }

  #draw(plane) {
    const { volume, point } = this;
    const some = volume.peek(this.index);
    if (!some || !point || !this.window) return;
    this.#measure();
    const isCoronal = plane === "coronal";
    const across = isCoronal ? some.columns : some.rows;
    const canvas = this.canvases[plane];
    canvas.width = across;
    canvas.height = volume.count;
    const spacing = isCoronal ? some.spacing[1] : some.spacing[0];
    canvas.style.aspectRatio = `${across * spacing} / ${volume.count * this.distance}`;
    const context = canvas.getContext("2d", { alpha: false });
    const image = context.createImageData(across, volume.count);
    const pixels = new Uint32Array(image.data.buffer).fill(0xff000000);
    const line = new Int16Array(across);
    for (let index = 0; index < volume.count; index++) {
      const slice = volume.peek(index);
      if (!slice || slice.columns !== some.columns || slice.rows !== some.rows) continue;
      const samples = isCoronal
        ? slice.samples.subarray(point[1] * slice.columns, (point[1] + 1) * slice.columns)
        : line.map((_, row) => slice.samples[row * slice.columns + point[0]]);
      const at = this.#line(index) * across;
      shade(samples, slice.offset, this.window, pixels.subarray(at, at + across));
    }
    context.putImageData(image, 0, 0);
    if (!this.areContoursHidden) this.#drawContours(context, isCoronal ? 1 : 0);
    context.fillStyle = "rgba(255, 255, 255, 0.8)";
    context.fillRect(0, this.#line(this.index), across, Math.min(1, volume.count / 120));
  }

  /** Where a plane cuts an ROI: on each slice, where it crosses the rings. */
  #drawContours(context, axis) {
    const cut = this.point[axis];
    const edge = context.canvas.width / 120;
    for (let index = 0; index < this.volume.count; index++) {
      for (const { roi, rings } of this.volume.peek(index)?.outlines ?? []) {
        const { isShown, colour } = this.rois.get(roi) ?? {};
        if (!isShown) continue;
        context.fillStyle = colour;
        const crossings = rings.flatMap((ring) => crossingsOf(ring, axis, cut)).sort((a, b) => a - b);
        for (let i = 0; i + 1 < crossings.length; i += 2) {
          const [from, to] = [crossings[i], crossings[i + 1]];
          context.globalAlpha = 0.16;
          context.fillRect(from, this.#line(index), to - from, 1);
          context.globalAlpha = 1;
          context.fillRect(from - edge / 2, this.#line(index), edge, 1);
          context.fillRect(to - edge / 2, this.#line(index), edge, 1);
        }
      }
    }
  }

  #line(index) {
    return this.isFlipped ? this.volume.count - 1 - index : index;
  }

  /** Head up: the patient's axis grows towards the head (PS3.3 C.7.6.2.1.1). */
  #measure() {
    const here = [...Array(this.volume.count).keys()].filter((index) => this.volume.peek(index));
    const [first, last] = [here[0], here[here.length - 1]];
    const rise = this.volume.peek(last).position[2] - this.volume.peek(first).position[2];
    this.isFlipped = rise >= 0;
    this.distance = last > first ? Math.abs(rise) / (last - first) || 1 : 1;
  }
}

function crossingsOf(ring, axis, cut) {
  const crossings = [];
  for (let i = 0, j = ring.length - 2; i < ring.length; j = i, i += 2) {
    const [from, to] = [ring[j + axis], ring[i + axis]];
    if (from > cut === to > cut) continue;
    const share = (cut - from) / (to - from);
    crossings.push(ring[j + 1 - axis] + share * (ring[i + 1 - axis] - ring[j + 1 - axis]));
  }
  return crossings;
}
