import { byFallingScore, flatBoxes, intersectionOverUnion, suppressOverlaps } from './Box.js';
import { Coverage, emptyRuns, promising } from './Candidates.js';
import { countAbove, markAbove } from './MaskUpscaler.js';
import { RunLengthBuilder } from './RunLengths.js';
import { ratio, stabilityCuts } from './Stability.js';
import { LogitWindow } from './LogitWindow.js';
import { LowResolutionExtent } from './LowResolutionExtent.js';

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
    this.extent = new LowResolutionExtent(upscaler.geometry, upscaler.maskSize);
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
        box: this.extent.roughBox(logits, this.threshold),
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
    const outer = this.extent.countAbove(logits, this.cuts.outer);
    const inner = this.extent.countAbove(logits, this.cuts.inner);
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
}

/** @param {FastCandidate} first @param {FastCandidate} second */
function boxIou({ box: a }, { box: b }) {
  return intersectionOverUnion(Float32Array.of(a.x0, a.y0, a.x1, a.y1, b.x0, b.y0, b.x1, b.y1), 0, 1);
}
