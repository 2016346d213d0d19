import { PIXEL_CENTRE } from './Geometry.js';
import { axisOf } from './MaskAxis.js';
import { BRIGHTEST, RGB_CHANNELS, RgbImage } from './RgbImage.js';

/** @import { Rules } from './Rules.js' */

/** Leaves room in a 32-bit integer for 8 bits of the pixel and for the sum of a few weights above one. */
const PRECISION_BITS = 22;
const ROUNDING = 1 << (PRECISION_BITS - 1);
const ONE = 1 << PRECISION_BITS;

/**
 * Kernels of Pillow's resize: how far they reach, and their value at a distance.
 * @typedef {{support: number, at: (x: number) => number}} Kernel
 * @type {Readonly<Record<string, Kernel>>}
 */
const KERNELS = Object.freeze({
  bilinear: { support: 1, at: (x) => Math.max(1 - Math.abs(x), 0) },
  bicubic: { support: 2, at: (x) => cubic(Math.abs(x)) },
});

/** Keys' kernel with a = −0.5, in the order of Pillow's operations. @param {number} x */
function cubic(x) {
  const a = -0.5;
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/**
 * Resizes a photo to `height` x `width` as the rules of a model say: samples (height, width, 3), of 8 bits where values
 * are whole.
 * @param {RgbImage} photo @param {number} height @param {number} width @param {Readonly<Rules>} rules
 * @returns {{height: number, width: number, samples: Uint8Array | Float32Array}}
 */
export function resizePhoto(photo, height, width, { filter, antialias, wholeValues }) {
  if (wholeValues) return resizeWhole(photo, height, width, filter);
  const axis = antialias ? kernelAxis : plainAxis;
  const columns = axis(photo.width, width, filter);
  const rows = axis(photo.height, height, filter);
  return { height, width, samples: resampled(photo, columns, rows) };
}

/**
 * Resizes a photo as Pillow's `Image.resize(…)` does in 8 bits, bit for bit.
 *
 * The kernel's support grows with the shrink factor (antialiasing).  Two passes, columns then rows, each rounded to 8
 * bits; weights are fixed-point numbers of 22 bits; a pass that keeps the length is left out.
 * @param {RgbImage} photo @param {number} height @param {number} width @param {string} filter
 */
export function resizeWhole(photo, height, width, filter) {
  const narrow = photo.width === width ? photo : resizeColumns(photo, width, filter);
  return height === narrow.height ? narrow : resizeRows(narrow, height, filter);
}

/**
 * One axis: output i is Σ `weights`[i · taps + t] · input[`first`[i] + t], t < `counts`[i].
 * @typedef {{first: Int32Array, counts: Int32Array, weights: Int32Array, taps: number}} FixedAxis
 * @typedef {{first: Int32Array, counts: Int32Array, weights: Float64Array, taps: number}} Axis
 */

/** Pillow's weights in double. @param {number} source @param {number} target @param {string} filter @returns {Axis} */
function kernelAxis(source, target, filter) {
  const kernel = KERNELS[filter];
  const scale = source / target;
  const support = kernel.support * Math.max(scale, 1);
  const first = new Int32Array(target);
  const counts = new Int32Array(target);
  for (let i = 0; i < target; i++) {
    const centre = (i + PIXEL_CENTRE) * scale;
    first[i] = Math.max(Math.trunc(centre - support + PIXEL_CENTRE), 0);
    counts[i] = Math.min(Math.trunc(centre + support + PIXEL_CENTRE), source) - first[i];
  }
  const taps = counts.reduce((most, count) => Math.max(most, count), 0);
  const weights = new Float64Array(target * taps);
  for (let i = 0; i < target; i++) {
    const values = shares(kernel, first[i], counts[i], (i + PIXEL_CENTRE) * scale, Math.max(scale, 1));
    weights.set(values, i * taps);
  }
  return { first, counts, weights, taps };
}

/**
 * Shares of `count` inputs from `low` on in an output at `centre`; their sum is 1.
 * @param {Kernel} kernel @param {number} low @param {number} count @param {number} centre @param {number} stretch
 */
function shares(kernel, low, count, centre, stretch) {
  // Times the inverse, as Pillow does: a division rounds differently.
  const inverse = 1 / stretch;
  const values = new Float64Array(count);
  let total = 0;
  for (let t = 0; t < count; t++) {
    values[t] = kernel.at((t + low - centre + PIXEL_CENTRE) * inverse);
    total += values[t];
  }
  return values.map((value) => value / total);
}

/** @param {number} source @param {number} target @param {string} filter @returns {FixedAxis} */
function fixedAxis(source, target, filter) {
  const axis = kernelAxis(source, target, filter);
  // Half away from zero.
  const fixed = axis.weights.map((share) =>
    Math.trunc(share * ONE + (share < 0 ? -PIXEL_CENTRE : PIXEL_CENTRE)),
  );
  return { ...axis, weights: Int32Array.from(fixed) };
}

/** Without antialiasing. @param {number} source @param {number} target @param {string} filter @returns {Axis} */
function plainAxis(source, target, filter) {
  const { first, weights, taps } = axisOf(source, target, filter);
  const counts = Int32Array.from(first, (low) => Math.min(taps, source - low));
  return { first, counts, weights, taps };
}

/**
 * A photo resized in float: columns, then rows, each rounded to float32.
 * @param {RgbImage} photo @param {Axis} columns @param {Axis} rows
 */
function resampled(photo, columns, rows) {
  const width = columns.first.length;
  const narrow = new Float32Array(photo.height * width * RGB_CHANNELS);
  for (let y = 0; y < photo.height; y++) {
    for (let x = 0; x < width * RGB_CHANNELS; x++) {
      const start = y * photo.width * RGB_CHANNELS + (x % RGB_CHANNELS);
      const column = Math.trunc(x / RGB_CHANNELS);
      narrow[y * width * RGB_CHANNELS + x] = weighed(columns, column, photo.samples, start, RGB_CHANNELS);
    }
  }
  const length = width * RGB_CHANNELS;
  const result = new Float32Array(rows.first.length * length);
  for (let y = 0; y < rows.first.length; y++) {
    for (let x = 0; x < length; x++) result[y * length + x] = weighed(rows, y, narrow, x, length);
  }
  return result;
}

/**
 * Output `i` of an axis whose inputs lie `stride` apart from `start` on.
 * @param {Axis} axis @param {number} i @param {Uint8Array | Float32Array} values @param {number} start
 * @param {number} stride
 */
function weighed({ first, counts, weights, taps }, i, values, start, stride) {
  let sum = 0;
  for (let t = 0; t < counts[i]; t++) sum += weights[i * taps + t] * values[start + (first[i] + t) * stride];
  return sum;
}

/** @param {RgbImage} photo @param {number} width @param {string} filter */
function resizeColumns(photo, width, filter) {
  const axis = fixedAxis(photo.width, width, filter);
  const result = new Uint8Array(photo.height * width * RGB_CHANNELS);
  for (let y = 0; y < photo.height; y++) {
    resizeRow(photo.samples, y * photo.width * RGB_CHANNELS, axis, result, y * width * RGB_CHANNELS);
  }
  return new RgbImage(photo.height, width, result);
}

/**
 * @param {Uint8Array} samples @param {number} rowStart @param {FixedAxis} axis
 * @param {Uint8Array} result @param {number} start
 */
function resizeRow(samples, rowStart, axis, result, start) {
  const { first, counts, weights, taps } = axis;
  let target = start;
  for (let i = 0; i < first.length; i++) {
    let red = ROUNDING;
    let green = ROUNDING;
    let blue = ROUNDING;
    let source = rowStart + first[i] * RGB_CHANNELS;
    const end = i * taps + counts[i];
    for (let k = i * taps; k < end; k++) {
      const weight = weights[k];
      red += weight * samples[source];
      green += weight * samples[source + 1];
      blue += weight * samples[source + 2];
      source += RGB_CHANNELS;
    }
    result[target] = eightBits(red);
    result[target + 1] = eightBits(green);
    result[target + 2] = eightBits(blue);
    target += RGB_CHANNELS;
  }
}

/** @param {RgbImage} photo @param {number} height @param {string} filter */
function resizeRows(photo, height, filter) {
  const { first, counts, weights, taps } = fixedAxis(photo.height, height, filter);
  const length = photo.width * RGB_CHANNELS;
  const sums = new Int32Array(length);
  const result = new Uint8Array(height * length);
  for (let i = 0; i < height; i++) {
    sums.fill(ROUNDING);
    for (let t = 0; t < counts[i]; t++) {
      addRow(sums, photo.samples, (first[i] + t) * length, weights[i * taps + t]);
    }
    for (let x = 0; x < length; x++) result[i * length + x] = eightBits(sums[x]);
  }
  return new RgbImage(height, photo.width, result);
}

/** @param {Int32Array} sums @param {Uint8Array} samples @param {number} start @param {number} weight */
function addRow(sums, samples, start, weight) {
  for (let x = 0; x < sums.length; x++) sums[x] += weight * samples[start + x];
}

/**
 * Weights of one output may add up to a little more than one, and a cubic overshoots, so the sum is clipped.
 * @param {number} sum
 */
function eightBits(sum) {
  return Math.max(Math.min(sum >> PRECISION_BITS, BRIGHTEST), 0);
}
