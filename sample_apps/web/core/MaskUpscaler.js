import { Geometry } from './Geometry.js';
import { Mask } from './Mask.js';
import { MaskAxis } from './MaskAxis.js';

/**
 * Rows and columns of a photo, each `start` until `end`.
 * @typedef {{start: number, end: number}} Span
 * @typedef {{rows: Span, columns: Span}} PixelWindow
 */

/**
 * Brings low-resolution logits back to the photo, as the rules of its geometry say.
 *
 * Over the frame that is two bilinear resizes (m → F, then the photo's part of it → the photo), at once it is one of the
 * photo's part.  All are separable and linear, so each axis is one matrix with a few weights per row, and rows are made
 * one at a time: nothing of full size is held but the mask.  `maskSize` is m; logits are float32 (m, m), flat.
 */
export class MaskUpscaler {
  /** @param {Geometry} geometry @param {number} maskSize @param {number} threshold */
  constructor(geometry, maskSize, threshold) {
    this.geometry = geometry;
    this.maskSize = maskSize;
    this.threshold = Math.fround(threshold);
    const { rows, columns } = MaskAxis.both(geometry, maskSize);
    this.rowAxis = rows;
    this.columnAxis = columns;
  }

  /**
   * The mask in pixels of the photo: where the full-size logit is above the threshold.
   * @param {Float32Array} lowRes
   */
  mask(lowRes) {
    const { height, width } = this.geometry;
    const pixels = new Uint8Array(height * width);
    const window = this.windowAbove(lowRes, this.threshold);
    if (window) {
      this.forEachRow(lowRes, window, (y, row) => {
        markAbove(row, this.threshold, pixels, y * width + window.columns.start);
      });
    }
    return new Mask(height, width, pixels);
  }

  /**
   * Where a logit above `cut` may be; null if nowhere.  Bilinear upscaling only averages, so what lies outside it is
   * known without computing it; a cubic overshoots.
   * @param {Float32Array} lowRes @param {number} cut @returns {PixelWindow | null}
   */
  windowAbove(lowRes, cut) {
    const { height, width, rules } = this.geometry;
    if (rules.upscaleFilter !== 'bilinear') {
      return { rows: { start: 0, end: height }, columns: { start: 0, end: width } };
    }
    const found = extentAbove(lowRes, this.maskSize, cut);
    if (!found) return null;
    const rows = this.rowAxis.readersOf(found.top, found.bottom);
    const columns = this.columnAxis.readersOf(found.left, found.right);
    // A mask that lies in the padding is read by no pixel.
    return rows.end > rows.start && columns.end > columns.start ? { rows, columns } : null;
  }

  /**
   * Calls `action` with each row of `window` and its full-size logits, in an array that is used again.
   * @param {Float32Array} lowRes @param {PixelWindow} window @param {(y: number, row: Float32Array) => void} action
   */
  forEachRow(lowRes, window, action) {
    const firstRead = this.rowAxis.input(window.rows.start, 0);
    const wide = this.widen(lowRes, window, firstRead);
    const row = new Float32Array(window.columns.end - window.columns.start);
    for (let y = window.rows.start; y < window.rows.end; y++) {
      this.weighRows(wide, y, firstRead, row);
      action(y, row);
    }
  }

  /**
   * The full-size logit at one pixel, equal to that of `forEachRow`.
   * @param {Float32Array} lowRes @param {number} x @param {number} y
   */
  logitAt(lowRes, x, y) {
    const { taps, weights } = this.rowAxis;
    let sum = 0;
    for (let t = 0; t < taps; t++) {
      const wide = Math.fround(this.widened(lowRes, this.rowAxis.input(y, t) * this.maskSize, x));
      sum += weights[y * taps + t] * wide;
    }
    return Math.fround(sum);
  }

  /**
   * Row `y` of the photo from the rows `wide`, which begin at input `firstRead`.
   * @param {Float32Array} wide @param {number} y @param {number} firstRead @param {Float32Array} row
   */
  weighRows(wide, y, firstRead, row) {
    const { taps, weights } = this.rowAxis;
    const start = (/** @type {number} */ t) => (this.rowAxis.input(y, t) - firstRead) * row.length;
    const weight = (/** @type {number} */ t) => (t < taps ? weights[y * taps + t] : 0);
    // Taps that there are not have weight 0, and read what is there.
    const starts = [0, 1, 2, 3].map((t) => start(Math.min(t, taps - 1)));
    const shares = [0, 1, 2, 3].map(weight);
    (taps > 3 ? weighFour : weighThree)(wide, starts, shares, row);
  }

  /**
   * The columns only: rows of m → rows of the window, for the rows from `firstRead` that the window reads.
   * @param {Float32Array} lowRes @param {PixelWindow} window @param {number} firstRead
   */
  widen(lowRes, window, firstRead) {
    const { start, end } = window.columns;
    const lastRead = this.rowAxis.input(window.rows.end - 1, this.rowAxis.taps - 1);
    const wide = new Float32Array((lastRead - firstRead + 1) * (end - start));
    let target = 0;
    for (let row = firstRead; row <= lastRead; row++) {
      for (let x = start; x < end; x++) wide[target++] = this.widened(lowRes, row * this.maskSize, x);
    }
    return wide;
  }

  /** @param {Float32Array} lowRes @param {number} rowStart @param {number} x */
  widened(lowRes, rowStart, x) {
    const { first, weights, taps, inputs } = this.columnAxis;
    const last = inputs - 1;
    let sum = 0;
    for (let t = 0; t < taps; t++) {
      sum += weights[x * taps + t] * lowRes[rowStart + Math.min(first[x] + t, last)];
    }
    return sum;
  }
}

/** @param {Float32Array} wide @param {number[]} starts @param {number[]} weights @param {Float32Array} row */
function weighThree(wide, [start0, start1, start2], [weight0, weight1, weight2], row) {
  for (let x = 0; x < row.length; x++) {
    row[x] = weight0 * wide[start0 + x] + weight1 * wide[start1 + x] + weight2 * wide[start2 + x];
  }
}

/** Rounded once, as the other. @param {Float32Array} wide @param {number[]} starts @param {number[]} weights
 * @param {Float32Array} row
 */
function weighFour(wide, [start0, start1, start2, start3], [weight0, weight1, weight2, weight3], row) {
  for (let x = 0; x < row.length; x++) {
    const sum = weight0 * wide[start0 + x] + weight1 * wide[start1 + x] + weight2 * wide[start2 + x];
    row[x] = sum + weight3 * wide[start3 + x];
  }
}

/** First and last row and column of (side, side) with a value above `cut`; null if there is none.
 * @param {Float32Array} values @param {number} side @param {number} cut
 */
function extentAbove(values, side, cut) {
  const found = { top: side, left: side, bottom: -1, right: -1 };
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      if (values[y * side + x] > cut) {
        if (found.bottom < 0) found.top = y;
        found.bottom = y;
        if (x < found.left) found.left = x;
        if (x > found.right) found.right = x;
      }
    }
  }
  return found.bottom < 0 ? null : found;
}

/**
 * Writes 1 or 0 for each of `row`, whether it is above `cut`, into `pixels` from `start` on.
 * @param {Float32Array} row @param {number} cut @param {Uint8Array} pixels @param {number} start
 */
export function markAbove(row, cut, pixels, start) {
  for (let x = 0; x < row.length; x++) pixels[start + x] = row[x] > cut ? Mask.INSIDE : Mask.OUTSIDE;
}

/** How many of `row` are above `cut`. @param {Float32Array} row @param {number} cut */
export function countAbove(row, cut) {
  let count = 0;
  for (let x = 0; x < row.length; x++) if (row[x] > cut) count++;
  return count;
}
