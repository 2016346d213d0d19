import { EMPTY_BOX } from './Box.js';
import { compressCounts, decompressCounts } from './CocoCounts.js';
import { RunLengthError } from './Errors.js';
import { Mask } from './Mask.js';

/** @import { Box } from './Box.js' */

/** Of a mask that is read: a few characters could otherwise ask for any amount of memory. */
const MAX_PIXELS = 2 ** 31 - 1;

/** A mask as COCO run lengths: `counts` of 0s, 1s, 0s, … down the columns of `height` x `width` pixels. */
export class RunLengths {
  /**
   * `encode` and `fromCoco` make checked ones.
   * @param {number} height @param {number} width @param {Int32Array} counts
   */
  constructor(height, width, counts) {
    this.height = height;
    this.width = width;
    this.counts = counts;
  }

  /** @param {Mask} mask */
  static encode(mask) {
    const builder = new RunLengthBuilder(mask.height, mask.width, 0, mask.width);
    for (let y = 0; y < mask.height; y++) builder.addRow(y, mask.pixels, y * mask.width);
    return builder.build(mask.height);
  }

  /**
   * Reads COCO's compressed `counts`; throws `RunLengthError` if they are no mask of that size.
   * @param {number} height @param {number} width @param {string} text
   */
  static fromCoco(height, width, text) {
    return RunLengths.fromCounts(height, width, decompressCounts(text));
  }

  /**
   * Checks `counts`; throws `RunLengthError` if they are no mask of that size.
   * @param {number} height @param {number} width @param {number[]} counts
   */
  static fromCounts(height, width, counts) {
    const pixels = height * width;
    const sum = counts.reduce((total, count) => total + count, 0);
    const isWrong = height < 0 || width < 0 || pixels > MAX_PIXELS || counts.some((count) => !(count >= 0));
    if (isWrong || sum !== pixels) {
      throw new RunLengthError(
        'sum',
        `run lengths must be at least 0 and add up to ${height} x ${width}; their sum is ${sum}`,
      );
    }
    return new RunLengths(height, width, Int32Array.from(counts));
  }

  /** Pixels inside. */
  get area() {
    let area = 0;
    for (let i = 1; i < this.counts.length; i += 2) area += this.counts[i];
    return area;
  }

  /** First and last column and row inside; `EMPTY_BOX` for an empty mask. @returns {Box} */
  get box() {
    if (this.area === 0) return EMPTY_BOX;
    const { height } = this;
    const box = { x0: this.width, y0: height, x1: 0, y1: 0 };
    this.forEachRun((start, end) => {
      const last = end - 1;
      const column = Math.floor(start / height);
      const lastColumn = Math.floor(last / height);
      const crosses = column !== lastColumn;
      box.x0 = Math.min(box.x0, column);
      box.x1 = Math.max(box.x1, lastColumn);
      box.y0 = Math.min(box.y0, crosses ? 0 : start % height);
      box.y1 = Math.max(box.y1, crosses ? height - 1 : last % height);
    });
    return box;
  }

  /** The mask in pixels. */
  decode() {
    const pixels = new Uint8Array(this.height * this.width);
    this.forEachPixel((place) => {
      pixels[place] = Mask.INSIDE;
    });
    return new Mask(this.height, this.width, pixels);
  }

  /**
   * Calls `action` with y · width + x of every pixel inside, down the columns.
   * @param {(place: number) => void} action
   */
  forEachPixel(action) {
    const { height, width } = this;
    this.forEachRun((start, end) => {
      let x = Math.floor(start / height);
      let y = start % height;
      for (let left = end - start; left > 0; left--) {
        action(y * width + x);
        if (++y === height) {
          y = 0;
          x++;
        }
      }
    });
  }

  /**
   * Calls `action` with the places x · height + y where each run of 1s (that has pixels) begins and ends.
   * @param {(start: number, end: number) => void} action
   */
  forEachRun(action) {
    let place = 0;
    this.counts.forEach((count, i) => {
      if (i % 2 === 1 && count > 0) action(place, place + count);
      place += count;
    });
  }

  /** COCO's JSON object, with compressed `counts`. */
  toCoco() {
    return { size: [this.height, this.width], counts: compressCounts(this.counts) };
  }
}

const INITIAL_CHANGES = 4096;

/**
 * Makes run lengths of a mask that comes row by row, so that no mask of full size need exist.
 *
 * Columns `x0` until `x1` of a mask of `height` x `width` are given, and are 0 elsewhere.
 */
export class RunLengthBuilder {
  /** @param {number} height @param {number} width @param {number} x0 @param {number} x1 */
  constructor(height, width, x0, x1) {
    this.height = height;
    this.width = width;
    this.x0 = x0;
    this.above = new Uint8Array(x1 - x0);
    /** x · height + y of every pixel that differs from the one above it, or from 0 at the first row given. */
    this.changes = new Int32Array(INITIAL_CHANGES);
    this.count = 0;
  }

  /**
   * Takes row `y`, `pixels` from `start` on; rows come in order and without gaps.
   * @param {number} y @param {Uint8Array} pixels @param {number} start
   */
  addRow(y, pixels, start) {
    const { above, height, x0 } = this;
    for (let x = 0; x < above.length; x++) {
      const pixel = pixels[start + x];
      if (pixel !== above[x]) {
        above[x] = pixel;
        this.add((x0 + x) * height + y);
      }
    }
  }

  /** Ends the mask above row `endY`. @param {number} endY */
  build(endY) {
    this.above.forEach((pixel, x) => {
      if (pixel !== Mask.OUTSIDE) this.add((this.x0 + x) * this.height + endY);
    });
    const ends = withoutMeetings(this.changes.subarray(0, this.count).sort());
    const total = this.height * this.width;
    // The last run has at least one pixel, but for a mask without any.
    if (ends[ends.length - 1] !== total || ends.length === 0) ends.push(total);
    const counts = Int32Array.from(ends, (end, i) => (i === 0 ? end : end - ends[i - 1]));
    return new RunLengths(this.height, this.width, counts);
  }

  /** @param {number} place */
  add(place) {
    if (this.count === this.changes.length) {
      const longer = new Int32Array(this.count * 2);
      longer.set(this.changes);
      this.changes = longer;
    }
    this.changes[this.count++] = place;
  }
}

/**
 * A run that goes on at the top of the next column ends and begins at the same place: neither counts.
 * @param {Int32Array} changes sorted
 */
function withoutMeetings(changes) {
  /** @type {number[]} */
  const kept = [];
  for (const change of changes) {
    if (kept[kept.length - 1] === change) kept.pop();
    else kept.push(change);
  }
  return kept;
}
