// The stage: one slice on a canvas, its contours above it as vectors, which stay crisp at any zoom.

import { mark, say } from "./dom.js";
import { shade } from "./window.js";

const SVG = "http://www.w3.org/2000/svg";
const CLICK_PX = 4;
const MOST_ZOOM = 16;

export class Viewer {
  /**
   * rois: Map of key to { colour, name, isShown }.
   * told: { stepped(by), windowed(), picked(column, row) }: what a person did on the stage.
   */
  constructor(rois, told) {
    this.rois = rois;
    this.told = told;
    this.slice = null;
    this.unit = "";
    this.window = { center: 40, width: 400 };
    this.zoom = 1;
    this.pan = [0, 0];
    this.point = null;
    this.areContoursHidden = false;
    this.stage = document.getElementById("stage");
    this.sheet = document.getElementById("sheet");
    this.canvas = document.getElementById("canvas");
    this.contours = document.getElementById("contours");
    this.cursor = document.getElementById("cursor");
    new ResizeObserver(() => this.layOut()).observe(this.stage);
    this.#listen();
  }

  showSlice(slice) {
    this.slice = slice;
    this.draw();
    this.layOut();
    this.drawContours();
  }

  draw() {
    const { slice, canvas } = this;
    if (!slice) return;
    if (canvas.width !== slice.columns || canvas.height !== slice.rows) {
      canvas.width = slice.columns;
      canvas.height = slice.rows;
    }
    const context = canvas.getContext("2d", { alpha: false });
    const image = context.createImageData(slice.columns, slice.rows);
    shade(slice.samples, slice.offset, this.window, new Uint32Array(image.data.buffer));
    context.putImageData(image, 0, 0);
  }

  drawContours() {
    const paths = [];
    if (this.slice && !this.areContoursHidden) {
      for (const { roi, rings } of this.slice.outlines) {
        const { colour, name, isShown } = this.rois.get(roi) ?? {};
        if (!isShown) continue;
        const d = rings.map(ringPath).join("");
        const halo = element("path", { d, class: "halo" });
        const line = element("path", { d, class: "line", stroke: colour, fill: colour, "data-roi": roi });
        const title = element("title", {});
        title.textContent = name;
        line.append(title);
        paths.push(halo, line);
      }
      if (this.point) {
        const [x, y] = this.point;
        const { rows, columns } = this.slice;
        const d = `M${x} -.5V${rows - 0.5}M-.5 ${y}H${columns - 0.5}`;
        paths.push(element("path", { d, class: "cross" }));
      }
    }
    this.contours.replaceChildren(...paths);
  }

  /** Place the sheet: its size follows the zoom, so that nothing is ever scaled as a bitmap but the image itself. */
  layOut() {
    const { slice, stage } = this;
    if (!slice) return;
    const wide = slice.columns * slice.spacing[1];
    const tall = slice.rows * slice.spacing[0];
    const scale = Math.min(stage.clientWidth / wide, stage.clientHeight / tall) * this.zoom; // CSS px per mm
    const [width, height] = [wide * scale, tall * scale];
    const slack = [(stage.clientWidth - width) / 2, (stage.clientHeight - height) / 2];
    this.pan = this.pan.map((pan, axis) => clamp(pan, Math.min(0, slack[axis]), Math.max(0, -slack[axis])));
    const left = slack[0] + this.pan[0];
    const top = slack[1] + this.pan[1];
    for (const layer of [this.sheet, this.contours]) {
      Object.assign(layer.style, {
        left: `${left}px`,
        top: `${top}px`,
        width: `${width}px`,
        height: `${height}px`,
      });
    }
    this.contours.setAttribute("viewBox", `-0.5 -0.5 ${slice.columns} ${slice.rows}`);
    this.contours.setAttribute("preserveAspectRatio", "none");
    mark(this.canvas, scale * slice.spacing[1] > 8 ? "pixels" : "smooth");
    this.#showScale(scale);
  }

  zoomBy(factor, at = null) {
    const before = this.zoom;
    this.zoom = clamp(this.zoom * factor, 1, MOST_ZOOM);
    const ratio = this.zoom / before;
    const middle = [this.stage.clientWidth / 2, this.stage.clientHeight / 2];
    const anchor = at ?? middle;
    this.pan = this.pan.map((pan, axis) => {
      const away = anchor[axis] - middle[axis];
      return away - (away - pan) * ratio;
    });
    this.layOut();
  }

  fit() {
    this.zoom = 1;
    this.pan = [0, 0];
    this.layOut();
  }

  /** Column and row under a pointer, or null beside the slice. */
  #pixelAt(event) {
    if (!this.slice) return null;
    const box = this.sheet.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * this.slice.columns);
    const row = Math.floor(((event.clientY - box.top) / box.height) * this.slice.rows);
    const isInside = column >= 0 && row >= 0 && column < this.slice.columns && row < this.slice.rows;
    return isInside ? [column, row] : null;
  }

  #showCursor(event) {
    const pixel = this.#pixelAt(event);
    if (!pixel) {
      say(this.cursor, "");
      return;
    }
    const [column, row] = pixel;
    const value = String(this.slice.at(column, row)).replace("-", "−");
    say(this.cursor, `${value}${this.unit && ` ${this.unit}`}  ·  column ${column}  row ${row}`);
  }

  #showScale(scale) {
    const bar = document.getElementById("scale-bar");
    const mm = [100, 50, 20, 10, 5].find((length) => length * scale < this.stage.clientWidth / 4) ?? 2;
    bar.style.width = `${mm * scale}px`;
    say(bar, mm >= 10 ? `${mm / 10} cm` : `${mm} mm`);
  }

  #listen() {
    const { stage } = this;
    let drag = null;
    let owed = 0;

    stage.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        if (event.ctrlKey || event.metaKey) {
          const box = stage.getBoundingClientRect();
          const at = [event.clientX - box.left, event.clientY - box.top];
          this.zoomBy(Math.exp(-event.deltaY / 300), at);
          return;
        }
        // A notch of a wheel is a slice; a touchpad's small steps add up to one.
        owed += event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? event.deltaY / 60 : event.deltaY;
        const whole = Math.abs(event.deltaY) >= 60 ? Math.sign(event.deltaY) : Math.trunc(owed);
        if (whole) {
          owed = 0;
          this.told.stepped(-whole);
        }
      },
      { passive: false },
    );

    stage.addEventListener("pointerdown", (event) => {
      if (event.button > 1) return;
      stage.focus({ preventScroll: true });
      stage.setPointerCapture(event.pointerId);
      const does = event.pointerType === "touch" ? "step" : event.shiftKey || event.button === 1 ? "pan" : "window";
      drag = { x: event.clientX, y: event.clientY, moved: 0, does, window: this.window, pan: this.pan };
      event.preventDefault();
    });

    stage.addEventListener("pointermove", (event) => {
      this.#showCursor(event);
      if (!drag) return;
      const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
      drag.moved = Math.max(drag.moved, Math.hypot(dx, dy));
      if (drag.moved < CLICK_PX) return;
      if (drag.does === "pan") {
        this.pan = [drag.pan[0] + dx, drag.pan[1] + dy];
        this.layOut();
      } else if (drag.does === "step") {
        const by = Math.trunc((drag.y - event.clientY) / 12);
        if (by) {
          drag.y = event.clientY;
          this.told.stepped(by);
        }
      } else {
        // Coarse where the window is wide, fine where it is narrow.
        const unit = Math.max(0.5, drag.window.width / 300);
        this.window = {
          center: Math.round(drag.window.center + dy * unit),
          width: Math.max(1, Math.round(drag.window.width + dx * unit)),
        };
        this.draw();
        this.told.windowed();
      }
    });

    const release = (event) => {
      const pixel = drag && drag.moved < CLICK_PX && event.type === "pointerup" ? this.#pixelAt(event) : null;
      drag = null;
      if (pixel) this.told.picked(...pixel);
    };
    stage.addEventListener("pointerup", release);
    stage.addEventListener("pointercancel", release);
    stage.addEventListener("pointerleave", () => say(this.cursor, ""));
  }
}

function ringPath(ring) {
  let d = "";
  for (let i = 0; i < ring.length; i += 2) {
    d += `${i ? "L" : "M"}${ring[i].toFixed(2)} ${ring[i + 1].toFixed(2)}`;
  }
  return `${d}Z`;
}

function element(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function clamp(value, least, most) {
  return Math.min(most, Math.max(least, value));
}
