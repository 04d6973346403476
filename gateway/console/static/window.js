// From samples to shades of grey: the window, as PS3.3 C.11.2.1.2 (linear) has it.

/** Presets by modality: name, center, width. MR has no scale of its own and gets presets from the image. */
const CT = [
  { name: "Soft tissue", center: 40, width: 400 },
  { name: "Lung", center: -600, width: 1500 },
  { name: "Bone", center: 450, width: 1800 },
  { name: "Brain", center: 40, width: 80 },
];

export function presets(modality, slice) {
  if (modality === "CT") return CT;
  const { low, high } = spread(slice);
  const middle = (low + high) / 2;
  const width = Math.max(1, high - low);
  return [
    { name: "Auto", center: middle, width },
    { name: "Brighter", center: low + width / 3, width: (width * 2) / 3 },
    { name: "Whole range", center: middle, width: width * 1.5 },
  ];
}

/** The values between which all but the darkest and the brightest of a slice lie. */
function spread(slice) {
  const some = slice.samples.filter((_, index) => index % 37 === 0).sort();
  const pick = (share) => some[Math.floor(share * (some.length - 1))] + slice.offset;
  return { low: pick(0.02), high: pick(0.995) };
}

/** Draw samples as grey pixels. pixels: a Uint32Array over an ImageData, as long as the samples. */
export function shade(samples, offset, { center, width }, pixels) {
  const low = center - 0.5 - (width - 1) / 2 - offset;
  const scale = 255 / Math.max(1, width - 1);
  for (let i = 0; i < samples.length; i++) {
    let grey = (samples[i] - low) * scale;
    grey = grey < 0 ? 0 : grey > 255 ? 255 : grey | 0;
    pixels[i] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
  }
}
