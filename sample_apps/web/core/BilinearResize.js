import { PIXEL_CENTRE } from './Geometry.js';
import { BRIGHTEST, RGB_CHANNELS, RgbImage } from './RgbImage.js';

/** Leaves room in a 32-bit integer for 8 bits of the pixel and for the sum of a few weights above one. */
const PRECISION_BITS = 22;
const ROUNDING = 1 << (PRECISION_BITS - 1);
const ONE = 1 << PRECISION_BITS;

/**
 * Resizes a photo to `height` x `width` as Pillow's `Image.resize(..., BILINEAR)` does, bit for bit.
 *
 * The filter is a triangle whose support grows with the shrink factor (antialiasing).  Two passes, columns then
 * rows, each rounded to 8 bits; weights are fixed-point numbers of 22 bits; a pass that keeps the length is left
 * out.
 * @param {RgbImage} photo @param {number} height @param {number} width
 */
export function resizeBilinear(photo, height, width) {
  const narrow = photo.width === width ? photo : resizeColumns(photo, width);
  return height === narrow.height ? narrow : resizeRows(narrow, height);
}

/**
 * One axis: output i is Σ `weights`[i · taps + t] · input[`first`[i] + t], t < `counts`[i].
 * @typedef {{first: Int32Array, counts: Int32Array, weights: Int32Array, taps: number}} TriangleFilter
 */

/** @param {number} source @param {number} target @returns {TriangleFilter} */
function triangleFilter(source, target) {
  const scale = source / target;
  const support = Math.max(scale, 1);
  const first = new Int32Array(target);
  const counts = new Int32Array(target);
  for (let i = 0; i < target; i++) {
    const centre = (i + PIXEL_CENTRE) * scale;
    first[i] = Math.max(Math.trunc(centre - support + PIXEL_CENTRE), 0);
    counts[i] = Math.min(Math.trunc(centre + support + PIXEL_CENTRE), source) - first[i];
  }
  const taps = counts.reduce((most, count) => Math.max(most, count), 0);
  const weights = new Int32Array(target * taps);
  for (let i = 0; i < target; i++) {
    const shares = triangle(first[i], counts[i], (i + PIXEL_CENTRE) * scale, support);
    shares.forEach((share, t) => {
      weights[i * taps + t] = Math.trunc(share * ONE + PIXEL_CENTRE);
    });
  }
  return { first, counts, weights, taps };
}

/**
 * Shares of `count` inputs from `low` on in an output at `centre`; their sum is 1.
 * @param {number} low @param {number} count @param {number} centre @param {number} support
 */
function triangle(low, count, centre, support) {
  // Times the inverse, as Pillow does: a division rounds differently.
  const inverse = 1 / support;
  const values = new Float64Array(count);
  let total = 0;
  for (let t = 0; t < count; t++) {
    values[t] = Math.max(1 - Math.abs((t + low - centre + PIXEL_CENTRE) * inverse), 0);
    total += values[t];
  }
  return values.map((value) => value / total);
}

/** @param {RgbImage} photo @param {number} width */
function resizeColumns(photo, width) {
  const filter = triangleFilter(photo.width, width);
  const result = new Uint8Array(photo.height * width * RGB_CHANNELS);
  for (let y = 0; y < photo.height; y++) {
    resizeRow(photo.samples, y * photo.width * RGB_CHANNELS, filter, result, y * width * RGB_CHANNELS);
  }
  return new RgbImage(photo.height, width, result);
}

/**
 * @param {Uint8Array} samples @param {number} rowStart @param {TriangleFilter} filter
 * @param {Uint8Array} result @param {number} start
 */
function resizeRow(samples, rowStart, filter, result, start) {
  const { first, counts, weights, taps } = filter;
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

/** @param {RgbImage} photo @param {number} height */
function resizeRows(photo, height) {
  const { first, counts, weights, taps } = triangleFilter(photo.height, height);
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
 * Weights of one output may add up to a little more than one, so the sum is clipped.
 * @param {number} sum
 */
function eightBits(sum) {
  return Math.min(sum >> PRECISION_BITS, BRIGHTEST);
}
