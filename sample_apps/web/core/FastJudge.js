import { byFallingScore, flatBoxes, intersectionOverUnion, suppressOverlaps } from './Box.js';
import { PIXEL_CENTRE } from './Geometry.js';
import { Coverage, emptyRuns, promising } from './Candidates.js';
import { countAbove, markAbove } from './MaskUpscaler.js';
import { RunLengthBuilder } from './RunLengths.js';
import { ratio, stabilityCuts } from './Stability.js';
import { LogitWindow } from './LogitWindow.js';

/** @import { Box } from './Box.js' */
/** @import { Judge, SegmentedObject } from './Candidates.js' */
/** @import { EverythingSettings } from './EverythingSettings.js' */
/** @import { FastSearch } from './Manifest.js' */
/** @import { MaskUpscaler } from './MaskUpscaler.js' */
/** @import { PhotoPoint } from './PointLattice.js' */
/** @import { RunLengths } from './RunLengths.js' */
/** @import { DecoderAnswer } from './SegmentationEngine.js' */

const f = Math.fround;

/**
 * A mask that passed both thresholds; its box is right to about a pixel, and its runs are not made yet.
 * @typedef {Omit<SegmentedObject, 'runs'> & {logits: LogitWindow | null,
 *   runs: RunLengths | null}} FastCandidate
 */

/**
 * The same thresholds as the exact judge, as far as possible on the low-resolution logits.
 *
 * Only what comes near to a threshold, and what is left in the end, is taken to full size, and of that only the
 * window around the mask.  The host's `mode="fast"`, number for number.
 * @implements {Judge<FastCandidate>}
 */
export class FastJudge {
  /**
   * @param {MaskUpscaler} upscaler
   * @param {EverythingSettings} settings @param {number} maskThreshold
   * @param {PhotoPoint[]} watched @param {FastSearch} rules
   */
  constructor(upscaler, settings, maskThreshold, watched, rules) {
    this.upscaler = upscaler;
    this.settings = settings;
    this.rules = rules;
    this.threshold = f(maskThreshold);
    this.cuts = stabilityCuts(maskThreshold, settings.stabilityScoreOffset);
    this.coverage = new Coverage(upscaler, settings.highScoreThresh, watched);
    const { validHeight, validWidth, imageSize } = upscaler.geometry;
    const side = upscaler.maskSize;
    /** Height and width of the photo in cells of a low-resolution mask. */
    this.cells = { height: (validHeight * side) / imageSize, width: (validWidth * side) / imageSize };
    this.rows = Math.max(1, roundHalfEven(this.cells.height));
    this.columns = Math.max(1, roundHalfEven(this.cells.width));
  }

  uncovered() {
    return this.coverage.uncovered();
  }

  /**
   * @param {DecoderAnswer} answer @param {number} row
   * @param {PhotoPoint} point
   */
  survivors(answer, row, point) {
    /** @type {FastCandidate[]} */
    const found = [];
    for (const { index, score, logits } of promising(answer, row, this.settings.predIouThresh)) {
      const stability = this.stability(logits);
      if (!(stability >= f(this.settings.stabilityScoreThresh))) continue;
      this.coverage.add(logits);
      const window = LogitWindow.of(
        logits,
        this.upscaler.maskSize,
        this.threshold,
        this.rules.windowMarginCells,
      );
      found.push({
        box: this.roughBox(logits),
        score,
        stability,
        point,
        maskIndex: index,
        logits: window,
        runs: null,
      });
    }
    return found;
  }

  /** @param {FastCandidate[]} found */
  thin(found) {
    let left = found;
    for (const iouThreshold of this.rules.duplicateIous) {
      const waiting = left.reduce((sum, { logits }) => sum + (logits?.bytes ?? 0), 0);
      if (waiting <= this.rules.maxWaitingBytes) break;
      const scores = Float32Array.from(left, ({ score }) => score);
      const kept = suppressOverlaps(flatBoxes(left.map(({ box }) => box)), scores, iouThreshold);
      left = kept.map((i) => left[i]);
    }
    return left;
  }

  /**
   * As the exact judge's on full-size boxes, of which only those are made that decide.
   * @param {FastCandidate[]} found @param {number} iouThreshold
   */
  finished(found, iouThreshold) {
    /** @type {FastCandidate[]} */
    const kept = [];
    for (const i of byFallingScore(found.map(({ score }) => score))) {
      let candidate = found[i];
      const ious = kept.map((other) => boxIou(other, candidate));
      if (ious.some((iou) => iou > f(iouThreshold + this.rules.boxMargin))) continue;
      const unsure = ious.flatMap((iou, k) => (iou > f(iouThreshold - this.rules.boxMargin) ? [k] : []));
      if (unsure.length > 0) candidate = this.fullSize(candidate);
      for (const k of unsure) kept[k] = this.fullSize(kept[k]);
      if (!unsure.some((k) => boxIou(kept[k], candidate) > f(iouThreshold))) kept.push(candidate);
    }
    return kept.map((candidate) => this.object(candidate)).filter(({ runs }) => runs.area > 0);
  }

  /** Of low-resolution logits, and at full size where that may decide. @param {Float32Array} logits */
  stability(logits) {
    const side = this.upscaler.maskSize;
    let inner = 0;
    let outer = 0;
    for (let y = 0; y < this.rows; y++) {
      const row = logits.subarray(y * side, y * side + this.columns);
      inner += countAbove(row, this.cuts.inner);
      outer += countAbove(row, this.cuts.outer);
    }
    const rough = ratio(inner, outer);
    const margin = this.rules.stabilityMarginCells / Math.sqrt(Math.max(outer, 1));
    const distance = Math.abs(f(rough - f(this.settings.stabilityScoreThresh)));
    return distance <= margin ? this.fullStability(logits) : rough;
  }

  /** @param {Float32Array} logits */
  fullStability(logits) {
    const window = this.upscaler.windowAbove(logits, this.cuts.outer);
    let inner = 0;
    let outer = 0;
    if (window) {
      this.upscaler.forEachRow(logits, window, (_, row) => {
        inner += countAbove(row, this.cuts.inner);
        outer += countAbove(row, this.cuts.outer);
      });
    }
    return f(inner / Math.max(outer, 1));
  }

  /** @param {FastCandidate} candidate @returns {FastCandidate} */
  fullSize(candidate) {
    if (candidate.logits === null) return candidate;
    const runs = this.runsOf(candidate.logits.whole());
    return { ...candidate, runs, box: runs.box, logits: null };
  }

  /** @param {FastCandidate} candidate @returns {SegmentedObject} */
  object(candidate) {
    const { logits, runs, ...rest } = this.fullSize(candidate);
    const { height, width } = this.upscaler.geometry;
    return { ...rest, runs: runs ?? emptyRuns(height, width) };
  }

  /** @param {Float32Array} logits */
  runsOf(logits) {
    const { height, width } = this.upscaler.geometry;
    const window = this.upscaler.windowAbove(logits, this.threshold);
    if (!window) return emptyRuns(height, width);
    const builder = new RunLengthBuilder(height, width, window.columns.start, window.columns.end);
    const bits = new Uint8Array(window.columns.end - window.columns.start);
    this.upscaler.forEachRow(logits, window, (y, row) => {
      markAbove(row, this.threshold, bits, 0);
      builder.addRow(y, bits, 0);
    });
    return builder.build(window.rows.end);
  }

  /** Inclusive box in photo pixels, from where the largest logit of a row or column passes the threshold.
   * @param {Float32Array} logits @returns {Box}
   */
  roughBox(logits) {
    const side = this.upscaler.maskSize;
    const across = new Float32Array(this.columns).fill(-Infinity);
    const down = new Float32Array(this.rows).fill(-Infinity);
    for (let y = 0; y < this.rows; y++) {
      for (let x = 0; x < this.columns; x++) {
        const logit = logits[y * side + x];
        if (logit > across[x]) across[x] = logit;
        if (logit > down[y]) down[y] = logit;
      }
    }
    const { width, height } = this.upscaler.geometry;
    const [x0, x1] = this.pixels(across, width, this.cells.width);
    const [y0, y1] = this.pixels(down, height, this.cells.height);
    return { x0, y0, x1, y1 };
  }

  /** First and last pixel of a side that a profile is above the threshold in.
   * @param {Float32Array} profile @param {number} pixels @param {number} cells
   */
  pixels(profile, pixels, cells) {
    const [low, high] = extent(profile, this.threshold);
    const scale = pixels / cells;
    return [Math.ceil(low * scale - PIXEL_CENTRE), Math.ceil(high * scale - PIXEL_CENTRE) - 1].map((place) =>
      Math.min(Math.max(place, 0), pixels - 1),
    );
  }
}

/** @param {FastCandidate} first @param {FastCandidate} second */
function boxIou({ box: a }, { box: b }) {
  return intersectionOverUnion(Float32Array.of(a.x0, a.y0, a.x1, a.y1, b.x0, b.y0, b.x1, b.y1), 0, 1);
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
