import { flatBoxes, suppressOverlaps } from './Box.js';
import { countAbove, markAbove } from './MaskUpscaler.js';
import { RunLengthBuilder, RunLengths } from './RunLengths.js';
import { ratio, stabilityCuts } from './Stability.js';

/** @import { Box } from './Box.js' */
/** @import { EverythingSettings } from './EverythingSettings.js' */
/** @import { MaskUpscaler } from './MaskUpscaler.js' */
/** @import { PhotoPoint } from './PointLattice.js' */
/** @import { DecoderAnswer } from './SegmentationEngine.js' */

/**
 * One mask of the photo; `box` has both ends inside, `point` is the click that found it, both in pixels of the
 * photo; `score` is the predicted IoU.
 * @typedef {{runs: RunLengths, box: Box, score: number, stability: number,
 *   point: PhotoPoint, maskIndex: number}} SegmentedObject
 */

/**
 * Decides which masks of a point survive, and remembers what the survivors cover with high score.  `finished` is
 * box NMS, then full-size masks of what is left; empty masks are dropped.
 * @template Candidate
 * @typedef {object} Judge
 * @property {() => number[]} uncovered indices of the watched points whose pixel no survivor covers with a logit
 *   above the high-score threshold
 * @property {(answer: DecoderAnswer, row: number,
 *   point: PhotoPoint) => Candidate[]} survivors
 * @property {(found: Candidate[]) => Candidate[]} thin drops duplicates if the candidates take too much memory
 * @property {(found: Candidate[], iouThreshold: number) => SegmentedObject[]} finished
 */

/**
 * The masks of a prompt whose predicted IoU is above the threshold: index, score, logits.
 * @param {DecoderAnswer} answer @param {number} row @param {number} threshold
 */
export function promising(answer, row, threshold) {
  const floor = Math.fround(threshold);
  return Array.from(answer.scores(row), (score, index) => ({
    index,
    score,
    logits: answer.logits(row, index),
  })).filter(({ score }) => score > floor);
}

/** Remembers which watched points survivors cover. */
export class Coverage {
  /**
   * @param {MaskUpscaler} upscaler @param {number} highScoreThresh
   * @param {PhotoPoint[]} watched
   */
  constructor(upscaler, highScoreThresh, watched) {
    this.upscaler = upscaler;
    this.high = Math.fround(highScoreThresh);
    this.watched = watched;
    this.covered = new Uint8Array(watched.length);
  }

  /** @param {Float32Array} logits of a survivor */
  add(logits) {
    if (!logits.some((logit) => logit > this.high)) return;
    this.watched.forEach(({ x, y }, i) => {
      if (!this.covered[i] && this.upscaler.logitAt(logits, Math.trunc(x), Math.trunc(y)) > this.high) {
        this.covered[i] = 1;
      }
    });
  }

  uncovered() {
    return this.watched.map((_, i) => i).filter((i) => !this.covered[i]);
  }
}

/**
 * The official order: predicted IoU, then stability over the whole photo, then what the survivors cover with a high
 * score.
 *
 * A mask that passes the first threshold is taken to full size row by row, and only where it can be above a cut:
 * no mask or logits of full size are held, whatever the photo.
 * @implements {Judge<SegmentedObject>}
 */
export class ExactJudge {
  /**
   * @param {MaskUpscaler} upscaler
   * @param {EverythingSettings} settings @param {number} maskThreshold
   * @param {PhotoPoint[]} watched
   */
  constructor(upscaler, settings, maskThreshold, watched) {
    this.upscaler = upscaler;
    this.settings = settings;
    this.threshold = Math.fround(maskThreshold);
    this.cuts = stabilityCuts(maskThreshold, settings.stabilityScoreOffset);
    this.coverage = new Coverage(upscaler, settings.highScoreThresh, watched);
  }

  uncovered() {
    return this.coverage.uncovered();
  }

  /**
   * @param {DecoderAnswer} answer @param {number} row
   * @param {PhotoPoint} point
   */
  survivors(answer, row, point) {
    /** @type {SegmentedObject[]} */
    const found = [];
    for (const { index, score, logits } of promising(answer, row, this.settings.predIouThresh)) {
      const { runs, stability } = this.measure(logits);
      // Not `<`: a threshold or a score that is not a number lets nothing through.
      if (!(stability >= Math.fround(this.settings.stabilityScoreThresh))) continue;
      this.coverage.add(logits);
      found.push({ runs, box: runs.box, score, stability, point, maskIndex: index });
    }
    return found;
  }

  /** @param {SegmentedObject[]} found */
  thin(found) {
    return found;
  }

  /** @param {SegmentedObject[]} found @param {number} iouThreshold */
  finished(found, iouThreshold) {
    const scores = Float32Array.from(found, ({ score }) => score);
    const kept = suppressOverlaps(flatBoxes(found.map(({ box }) => box)), scores, iouThreshold);
    return kept.map((i) => found[i]).filter(({ runs }) => runs.area > 0);
  }

  /** The mask and its stability over the whole photo. @param {Float32Array} logits */
  measure(logits) {
    const { height, width } = this.upscaler.geometry;
    const lowest = Math.min(this.threshold, this.cuts.inner, this.cuts.outer);
    const window = this.upscaler.windowAbove(logits, lowest);
    if (!window) return { runs: emptyRuns(height, width), stability: ratio(0, 0) };
    const builder = new RunLengthBuilder(height, width, window.columns.start, window.columns.end);
    const bits = new Uint8Array(window.columns.end - window.columns.start);
    let inner = 0;
    let outer = 0;
    this.upscaler.forEachRow(logits, window, (y, row) => {
      inner += countAbove(row, this.cuts.inner);
      outer += countAbove(row, this.cuts.outer);
      markAbove(row, this.threshold, bits, 0);
      builder.addRow(y, bits, 0);
    });
    return { runs: builder.build(window.rows.end), stability: ratio(inner, outer) };
  }
}

/** @param {number} height @param {number} width */
export function emptyRuns(height, width) {
  return new RunLengths(height, width, Int32Array.of(height * width));
}
