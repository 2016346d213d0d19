import { PIXEL_CENTRE } from './Geometry.js';
import { countAbove } from './MaskUpscaler.js';

/** @import { Box } from './Box.js' */
/** @import { Geometry } from './Geometry.js' */

const f = Math.fround;

/** The part of low-resolution masks, float32 (`side`, `side`), that lies on a photo. */
export class LowResolutionExtent {
  /** @param {Geometry} geometry @param {number} side */
  constructor(geometry, side) {
    const { validHeight, validWidth, imageSize } = geometry;
    this.geometry = geometry;
    this.side = side;
    /** Height and width of the photo in cells. */
    this.cells = { height: (validHeight * side) / imageSize, width: (validWidth * side) / imageSize };
    this.rows = Math.max(1, roundHalfEven(this.cells.height));
    this.columns = Math.max(1, roundHalfEven(this.cells.width));
  }

  /** How many of the photo's cells are above `cut`. @param {Float32Array} logits @param {number} cut */
  countAbove(logits, cut) {
    let count = 0;
    for (let y = 0; y < this.rows; y++) {
      count += countAbove(logits.subarray(y * this.side, y * this.side + this.columns), cut);
    }
    return count;
  }

  /**
   * Inclusive box in photo pixels, from where the largest logit of a row or column passes `threshold`.
   * @param {Float32Array} logits @param {number} threshold @returns {Box}
   */
  roughBox(logits, threshold) {
    const { side } = this;
    const across = new Float32Array(this.columns).fill(-Infinity);
    const down = new Float32Array(this.rows).fill(-Infinity);
    for (let y = 0; y < this.rows; y++) {
      for (let x = 0; x < this.columns; x++) {
        const logit = logits[y * side + x];
        if (logit > across[x]) across[x] = logit;
        if (logit > down[y]) down[y] = logit;
      }
    }
    const { width, height } = this.geometry;
    const [x0, x1] = pixelsOf(across, threshold, width, this.cells.width);
    const [y0, y1] = pixelsOf(down, threshold, height, this.cells.height);
    return { x0, y0, x1, y1 };
  }
}

/**
 * First and last pixel of a side that a profile is above the threshold in.
 * @param {Float32Array} profile @param {number} threshold @param {number} pixels @param {number} cells
 */
function pixelsOf(profile, threshold, pixels, cells) {
  const [low, high] = extent(profile, threshold);
  const scale = pixels / cells;
  return [Math.ceil(low * scale - PIXEL_CENTRE), Math.ceil(high * scale - PIXEL_CENTRE) - 1].map((place) =>
    Math.min(Math.max(place, 0), pixels - 1),
  );
}

/**
 * Where the first and the last run of a profile above `cut` begin and end, in cells; float32, as the profile.
 * @param {Float32Array} profile @param {number} cut
 */
function extent(profile, cut) {
  const first = profile.findIndex((value) => value > cut);
  if (first < 0) return [0, 0];
  const last = profile.findLastIndex((value) => value > cut);
  let low = 0;
  let high = profile.length;
  if (first > 0) {
    low = f(f(first + PIXEL_CENTRE) - f(profile[first] / f(profile[first] - profile[first - 1])));
  }
  if (last < profile.length - 1) {
    high = f(f(last + PIXEL_CENTRE) + f(profile[last] / f(profile[last] - profile[last + 1])));
  }
  return [low, high];
}

/** As Python's `round`. @param {number} value not negative */
function roundHalfEven(value) {
  const whole = Math.floor(value);
  const rest = value - whole;
  const half = 1 / 2;
  if (rest === half) return whole % 2 === 0 ? whole : whole + 1;
  return rest > half ? whole + 1 : whole;
}
