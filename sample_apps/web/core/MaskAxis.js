import { PIXEL_CENTRE } from './Geometry.js';

/** Inputs of one output. */
export const TAPS = 3;

/**
 * One axis of both resizes of a mask: output i is Σ `weights`[i · TAPS + t] · input[`first`[i] + t], t < TAPS.
 *
 * Output i reads two neighbours of the S frame, and each of those two neighbours of the low-resolution mask; as
 * the mask is not larger than the S frame, together they are at most three.
 */
export class MaskAxis {
  /** @param {Int32Array} first @param {Float32Array} weights @param {number} inputs */
  constructor(first, weights, inputs) {
    this.first = first;
    this.weights = weights;
    this.inputs = inputs;
  }

  /**
   * Resize `size` → `imageSize`, crop to `valid`, resize to `original`.
   * @param {number} size @param {number} imageSize @param {number} valid @param {number} original
   */
  static of(size, imageSize, valid, original) {
    const outer = twoTaps(valid, original);
    const inner = twoTaps(size, imageSize);
    const first = new Int32Array(original);
    const weights = new Float64Array(original * TAPS);
    for (let i = 0; i < original; i++) {
      const middle = outer.low[i];
      first[i] = inner.low[middle];
      addTo(weights, inner, i * TAPS - first[i], middle, 1 - outer.fraction[i]);
      addTo(weights, inner, i * TAPS - first[i], high(outer, i), outer.fraction[i]);
    }
    return new MaskAxis(first, Float32Array.from(weights), size);
  }

  get outputs() {
    return this.first.length;
  }

  /**
   * Input `t` of output `i`; a tap beyond the mask has weight 0, and reads its last cell.
   * @param {number} i @param {number} t
   */
  input(i, t) {
    return Math.min(this.first[i] + t, this.inputs - 1);
  }

  /**
   * The outputs, `start` until `end`, that may read an input from `low` to `high`.
   * @param {number} low @param {number} high
   */
  readersOf(low, high) {
    // `first` does not fall, so both ends are found by counting.
    const start = this.first.findIndex((first) => first >= low - TAPS + 1);
    const end = this.first.findLastIndex((first) => first <= high) + 1;
    return start < 0 || end <= start ? { start: 0, end: 0 } : { start, end };
  }
}

/**
 * Bilinear resize of one axis without antialiasing, align_corners=False, as torch's `interpolate`: output i is
 * (1 − `fraction`) · input[`low`] + `fraction` · input[high].
 * @typedef {{low: Int32Array, fraction: Float64Array, source: number}} TwoTaps
 */

/** @param {number} source @param {number} target @returns {TwoTaps} */
function twoTaps(source, target) {
  const low = new Int32Array(target);
  const fraction = new Float64Array(target);
  const scale = source / target;
  for (let i = 0; i < target; i++) {
    const centre = Math.max((i + PIXEL_CENTRE) * scale - PIXEL_CENTRE, 0);
    low[i] = Math.min(Math.trunc(centre), source - 1);
    fraction[i] = low[i] + 1 < source ? centre - low[i] : 0;
  }
  return { low, fraction, source };
}

/** @param {TwoTaps} taps @param {number} i */
function high(taps, i) {
  return Math.min(taps.low[i] + 1, taps.source - 1);
}

/**
 * Adds `share` times the axis' output `middle` to a row of `weights` that begins at `row` plus its first input.
 * @param {Float64Array} weights @param {TwoTaps} inner @param {number} row @param {number} middle
 * @param {number} share
 */
function addTo(weights, inner, row, middle, share) {
  weights[row + inner.low[middle]] += share * (1 - inner.fraction[middle]);
  weights[row + high(inner, middle)] += share * inner.fraction[middle];
}
