// The slices of a passage in this page's memory: fetched when needed, then ahead of being needed.

const HEADER_BYTES = 32; // see gateway/console/render.py
const BUDGET_BYTES = 384 * 2 ** 20;
const AT_ONCE = 2;

/** One slice: its samples, where it lies, and its contours. */
export class Slice {
  constructor(buffer, outlines) {
    const view = new DataView(buffer);
    this.rows = view.getUint16(4, true);
    this.columns = view.getUint16(6, true);
    this.offset = view.getInt32(8, true);
    this.spacing = [view.getFloat32(12, true), view.getFloat32(16, true)];
    this.position = [20, 24, 28].map((at) => view.getFloat32(at, true));
    this.samples = new Int16Array(buffer, HEADER_BYTES, this.rows * this.columns);
    this.outlines = outlines;
    this.bytes = buffer.byteLength;
  }

  at(column, row) {
    return this.samples[row * this.columns + column] + this.offset;
  }
}

/** The slice is no longer in the gateway's memory. */
export class Gone extends Error {}

export class Volume {
  /** arrived: called with the index of each slice that has come. */
  constructor(passageId, count, arrived) {
    this.count = count;
    this.center = 0;
    this.#base = `/passages/${passageId}/slices`;
    this.#arrived = arrived;
  }

  #base;
  #arrived;
  #slices = new Map();
  #fetching = new Map();
  #bytes = 0;
  #stopped = false;

  /** The slice if it is here, else undefined. */
  peek(index) {
    return this.#slices.get(index);
  }

  async get(index) {
    const here = this.#slices.get(index);
    if (here) return here;
    if (!this.#fetching.has(index)) {
      this.#fetching.set(
        index,
        this.#fetch(index).finally(() => this.#fetching.delete(index)),
      );
    }
    return this.#fetching.get(index);
  }

  /** Fetch the rest, what lies nearest to `center` first, until all are here or memory is full. */
  async fetchAhead() {
    const workers = Array.from({ length: AT_ONCE }, async () => {
      for (;;) {
        const index = this.#nearestMissing();
        if (index === undefined || this.#stopped || this.#bytes > BUDGET_BYTES) return;
        await this.get(index);
      }
    });
    await Promise.all(workers);
  }

  /** The passage has changed: fetch nothing more and keep nothing. */
  stop() {
    this.#stopped = true;
    this.#slices.clear();
  }

  #nearestMissing() {
    for (let step = 0; step < this.count; step++) {
      for (const index of [this.center + step, this.center - step]) {
        const isMissing = !this.#slices.has(index) && !this.#fetching.has(index);
        if (index >= 0 && index < this.count && isMissing) return index;
      }
    }
    return undefined;
  }

  async #fetch(index) {
    const [pixels, contours] = await Promise.all([
      fetch(`${this.#base}/${index}.bin`),
      fetch(`${this.#base}/${index}/outlines.json`),
    ]);
    if (!pixels.ok || !contours.ok) throw new Gone();
    const outlines = (await contours.json()).outlines.map(({ roi, rings }) => {
      return { roi, rings: rings.map((ring) => Float32Array.from(ring, (hundredths) => hundredths / 100)) };
    });
    const slice = new Slice(await pixels.arrayBuffer(), outlines);
    if (this.#stopped) return slice;
    this.#slices.set(index, slice);
    this.#bytes += slice.bytes;
    if (this.#bytes > BUDGET_BYTES) this.#dropFarthest();
    this.#arrived(index);
    return slice;
  }

  #dropFarthest() {
    const farthest = [...this.#slices.keys()].reduce((a, b) =>
      Math.abs(a - this.center) >= Math.abs(b - this.center) ? a : b,
    );
    this.#bytes -= this.#slices.get(farthest).bytes;
    this.#slices.delete(farthest);
  }
}
