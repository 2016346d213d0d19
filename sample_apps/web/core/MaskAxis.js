import { PIXEL_CENTRE } from './Geometry.js';

/** @import { Geometry } from './Geometry.js' */

const OVER_FRAME_TAPS = 3;

/**
 * One axis of a mask's whole way up: output i is Σ `weights`[i · taps + t] · input[`first`[i] + t], t < `taps`.
 *
 * `inputs` are the cells of the low-resolution mask.
 */
export class MaskAxis {
  /** @param {Int32Array} first @param {Float32Array} weights @param {number} taps @param {number} inputs */
  constructor(first, weights, taps, inputs) {
    this.first = first;
    this.weights = weights;
    this.taps = taps;
    this.inputs = inputs;
  }

  /**
   * The axes of rows and columns, as the rules of `geometry` say, from a mask of side `size`.
   * @param {Geometry} geometry @param {number} size
   */
  static both(geometry, size) {
    const { frameSize, frameValid, rules, height, width } = geometry;
    const valid = geometry.lowResValid(size);
    const axis = (
      /** @type {number} */ inFrame,
      /** @type {number} */ inMask,
      /** @type {number} */ original,
    ) =>
      rules.upscale === 'over_frame'
        ? MaskAxis.overFrame(size, frameSize, inFrame, original)
        : MaskAxis.atOnce(size, inMask, original, rules.upscaleFilter);
    return {
      rows: axis(frameValid.height, valid.height, height),
      columns: axis(frameValid.width, valid.width, width),
    };
  }

  /**
   * Resize `size` → `frameSize`, crop to `valid`, resize to `original`.
   *
   * Output i reads two neighbours of the frame, and each of those two neighbours of the low-resolution mask; as the mask
   * is not larger than the frame, together they are at most three.
   * @param {number} size @param {number} frameSize @param {number} valid @param {number} original
   */
  static overFrame(size, frameSize, valid, original) {
    const outer = axisOf(valid, original, 'bilinear');
    const inner = axisOf(size, frameSize, 'bilinear');
    const first = new Int32Array(original);
    const weights = new Float64Array(original * OVER_FRAME_TAPS);
    for (let i = 0; i < original; i++) {
      first[i] = inner.first[outer.first[i]];
      for (let t = 0; t < outer.taps; t++) {
        const middle = Math.min(outer.first[i] + t, valid - 1);
        for (let s = 0; s < inner.taps; s++) {
          const tap = Math.min(inner.first[middle] + s, size - 1) - first[i];
          const share = outer.weights[i * outer.taps + t] * inner.weights[middle * inner.taps + s];
          weights[i * OVER_FRAME_TAPS + tap] += share;
        }
      }
    }
    return new MaskAxis(first, Float32Array.from(weights), OVER_FRAME_TAPS, size);
  }

  /**
   * Crop `size` to `valid`, resize to `original`.
   * @param {number} size @param {number} valid @param {number} original @param {string} filter
   */
  static atOnce(size, valid, original, filter) {
    const { first, weights, taps } = axisOf(valid, original, filter);
    return new MaskAxis(first, Float32Array.from(weights), taps, size);
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
    const start = this.first.findIndex((first) => first >= low - this.taps + 1);
    const end = this.first.findLastIndex((first) => first <= high) + 1;
    return start < 0 || end <= start ? { start: 0, end: 0 } : { start, end };
  }
}

/**
 * Resize of one axis without antialiasing, align_corners=False, as torch's `interpolate`: output i is
 * Σ `weights`[i · taps + t] · input[`first`[i] + t].  Beyond the border the last input is repeated, as weight on it.
 * @param {number} source @param {number} target @param {string} filter
 */
export function axisOf(source, target, filter) {
  const isCubic = filter === 'bicubic';
  const taps = isCubic ? 4 : 2;
  const first = new Int32Array(target);
  const weights = new Float64Array(target * taps);
  for (let i = 0; i < target; i++) {
    const centre = (i + PIXEL_CENTRE) * (source / target) - PIXEL_CENTRE;
    const { low, values } = isCubic ? cubicAt(centre) : linearAt(Math.max(centre, 0));
    const inside = (/** @type {number} */ place) => Math.min(Math.max(place, 0), source - 1);
    first[i] = inside(low);
    values.forEach((value, t) => (weights[i * taps + inside(low + t) - first[i]] += value));
  }
  return { first, weights, taps };
}

/** @param {number} centre */
function linearAt(centre) {
  const low = Math.trunc(centre);
  return { low, values: [1 - (centre - low), centre - low] };
}

/** Keys' kernel with PyTorch's a = −0.75. @param {number} centre */
function cubicAt(centre) {
  const a = -0.75;
  const floor = Math.floor(centre);
  const values = [-1, 0, 1, 2].map((step) => {
    const x = Math.abs(centre - floor - step);
    if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  });
  return { low: floor - 1, values };
}
