import { BRIGHTEST, RGB_CHANNELS } from './RgbImage.js';

/** @import { LabelMap } from './LabelMap.js' */

/** Steps of this share of the colour circle keep any number of hues apart. */
const GOLDEN_RATIO = 0.618033988749895;

/** Saturation and brightness in percent, in turn. */
const RINGS = [
  [75, 100],
  [95, 80],
  [50, 95],
];

const PERCENT = 100;
const SEXTANTS = 6;

/**
 * The colour of object `index`, [R, G, B]: neighbours in the list look different, and each call gives the same.
 * @param {number} index
 */
export function objectColour(index) {
  const [saturation, value] = RINGS[index % RINGS.length].map((percent) => percent / PERCENT);
  const place = ((index * GOLDEN_RATIO) % 1) * SEXTANTS;
  const fraction = place % 1;
  const low = value * (1 - saturation);
  const falling = value * (1 - saturation * fraction);
  const rising = value * (1 - saturation * (1 - fraction));
  const shares = [
    [value, rising, low],
    [falling, value, low],
    [low, value, rising],
    [low, falling, value],
    [rising, low, value],
    [value, low, falling],
  ][Math.trunc(place)];
  return shares.map((share) => Math.trunc(share * BRIGHTEST));
}

/**
 * Paints a half-transparent colour for each object of the map over `pixels`, RGBA uint8 (height, width, 4), and a
 * white line around its areas.
 * @param {Uint8ClampedArray} pixels @param {LabelMap} map
 */
export function paintOverlay(pixels, map) {
  const { labels, height, width } = map;
  /** @type {Map<number, number[]>} */
  const colours = new Map();
  for (let y = 0, place = 0; y < height; y++) {
    for (let x = 0; x < width; x++, place++) {
      const label = labels[place];
      const right = x + 1 < width && labels[place + 1] !== label;
      if (right || (y + 1 < height && labels[place + width] !== label)) {
        pixels.fill(BRIGHTEST, place * 4, place * 4 + RGB_CHANNELS);
      } else if (label > 0) {
        let colour = colours.get(label);
        if (!colour) colours.set(label, (colour = objectColour(label - 1)));
        for (let i = 0; i < RGB_CHANNELS; i++) {
          pixels[place * 4 + i] = Math.floor((pixels[place * 4 + i] + colour[i]) / 2);
        }
      }
    }
  }
}
