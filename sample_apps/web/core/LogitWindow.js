import { HALF_BYTES, roundToHalf } from './HalfFloat.js';

/**
 * What decides where a low-resolution mask is: its logits from the cell (`top`, `left`) on, rounded to float16 as
 * the host keeps them.
 *
 * It reaches some cells, as many as a pixel reads, beyond the last one above the threshold.  Farther out a pixel averages over cells below
 * it only, whatever they are.
 */
export class LogitWindow {
  /**
   * @param {Float32Array} logits @param {number} top @param {number} left @param {number} width
   * @param {number} side @param {number} threshold
   */
  constructor(logits, top, left, width, side, threshold) {
    this.logits = logits;
    this.top = top;
    this.left = left;
    this.width = width;
    this.side = side;
    this.threshold = threshold;
  }

  /**
   * Cuts the window out of a mask (side, side), with `margin` cells around what is above the threshold.
   * @param {Float32Array} mask @param {number} side @param {number} threshold @param {number} margin
   */
  static of(mask, side, threshold, margin) {
    const rows = new Uint8Array(side);
    const columns = new Uint8Array(side);
    mask.forEach((logit, place) => {
      if (logit > threshold) rows[Math.floor(place / side)] = columns[place % side] = 1;
    });
    const [top, bottom] = span(rows, margin);
    const [left, right] = span(columns, margin);
    const logits = new Float32Array((bottom - top) * (right - left));
    for (let y = top, target = 0; y < bottom; y++) {
      for (let x = left; x < right; x++) logits[target++] = roundToHalf(mask[y * side + x]);
    }
    return new LogitWindow(logits, top, left, right - left, side, threshold);
  }

  /** Bytes of the logits as float16. */
  get bytes() {
    return this.logits.length * HALF_BYTES;
  }

  /** The mask (side, side), below the threshold outside the window. */
  whole() {
    const mask = new Float32Array(this.side * this.side).fill(this.threshold - 1);
    for (let start = 0, y = this.top; start < this.logits.length; start += this.width, y++) {
      mask.set(this.logits.subarray(start, start + this.width), y * this.side + this.left);
    }
    return mask;
  }
}

/** First cell and the one after the last, with the margin. @param {Uint8Array} above @param {number} margin */
function span(above, margin) {
  const first = above.indexOf(1);
  if (first < 0) return [0, 0];
  return [Math.max(first - margin, 0), Math.min(above.lastIndexOf(1) + 1 + margin, above.length)];
}
