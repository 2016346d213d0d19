/**
 * What the page lays over the photo, as pixels: RGBA uint8 (height, width, 4). Nothing here needs a page.
 */
import { objectColour } from '../core/Overlay.js';

/** @import { Size } from './session.js' */
/** @typedef {[number, number, number, number]} Colour red, green, blue and opacity, 0 to 255 */

/** Of a mask, of a mask under the pointer, and of their outline. @type {Record<string, Colour>} */
export const COLOURS = {
  mask: [47, 111, 237, 120],
  hover: [120, 165, 255, 105],
  outline: [255, 255, 255, 255],
  dimmed: [10, 12, 16, 90],
};
/** Of a pixel that both models see, only the first, only the second. @type {Colour[]} */
export const DIFFERENCE = [
  [0, 0, 0, 0],
  [47, 111, 237, 120],
  [224, 122, 0, 225],
  [194, 24, 143, 225],
];

/**
 * A tinted mask with a white line just inside its border.
 * @param {Uint8Array} mask @param {Size} size @param {Colour} fill @param {Colour} outside
 */
export function paintMask(mask, size, fill, outside) {
  return paint(size, (place, x, y) => {
    if (!mask[place]) return outside;
    return isBorder(mask, place, x, y, size) ? COLOURS.outline : fill;
  });
}

/** @param {Uint8Array} classes @param {Size} size */
export function paintDifference(classes, size) {
  return paint(size, (place) => DIFFERENCE[classes[place]]);
}

/**
 * A colour per object, white lines between them; the object under the pointer stronger than the others.
 * @param {Uint16Array} labels @param {Size} size @param {number} chosen its label, 0 for none
 */
export function paintLabels(labels, size, chosen) {
  /** @type {Map<number, Colour>} */
  const colours = new Map([[0, [0, 0, 0, 0]]]);
  return paint(size, (place, x, y) => {
    const label = labels[place];
    if (isBorder(labels, place, x, y, size)) return label || chosen ? COLOURS.outline : COLOURS.dimmed;
    let colour = colours.get(label);
    if (!colour) {
      const [red, green, blue] = objectColour(label - 1);
      colour = [red, green, blue, label === chosen ? 205 : 125];
      colours.set(label, colour);
    }
    return colour;
  });
}

/**
 * Whether the pixel to the right or below, or two away, has another value.
 * @param {Uint8Array | Uint16Array} values @param {number} place @param {number} x @param {number} y
 * @param {Size} size
 */
function isBorder(values, place, x, y, { height, width }) {
  const value = values[place];
  if (!value) return false;
  return (
    (x > 0 && values[place - 1] !== value) ||
    (x + 1 < width && values[place + 1] !== value) ||
    (y > 0 && values[place - width] !== value) ||
    (y + 1 < height && values[place + width] !== value)
  );
}

/** @param {Size} size @param {(place: number, x: number, y: number) => Colour} colourAt */
function paint({ height, width }, colourAt) {
  const pixels = new Uint8ClampedArray(height * width * 4);
  for (let y = 0, place = 0; y < height; y++) {
    for (let x = 0; x < width; x++, place++) pixels.set(colourAt(place, x, y), place * 4);
  }
  return pixels;
}
