import { byFallingScore, flatBoxes, suppressOverlaps } from './Box.js';
import { ExactJudge } from './Candidates.js';
import { SettingsError } from './Errors.js';
import { FastJudge } from './FastJudge.js';
import { PointLattice } from './PointLattice.js';
import { RunLengths } from './RunLengths.js';
import { removeSmallRegions } from './SmallRegions.js';

/** @import { SegmentedObject } from './Candidates.js' */
/** @import { EverythingSettings } from './EverythingSettings.js' */
/** @import { LatticePoint, PhotoPoint } from './PointLattice.js' */
/** @import { EncodedPhoto, Predictor } from './Predictor.js' */

/**
 * Why a search ended; how far it is: `decoded` of the `total` points of this `round`; and what it found, objects by
 * falling score, with what it cost: `visited` are the points that were scored or decoded, in order, `decoderCalls` the
 * calls that make masks and `scoreCalls` those that do not.
 * @typedef {'complete' | 'budget' | 'cancelled'} SearchEnd
 * @typedef {{round: number, decoded: number, total: number, found: number}} SearchProgress
 * @typedef {{objects: SegmentedObject[], visited: PhotoPoint[], decoderCalls: number, scoreCalls: number,
 *   end: SearchEnd}} EverythingResult
 * @typedef {ExactJudge | FastJudge} AnyJudge
 */

/**
 * Finds every object of a photo: flat (Segment Anything, section 3) or hierarchical (TinySAM, section 3.4).
 *
 * With `mode: 'exact'` the official generator's points, order and survivors.  `progress` is awaited after each
 * call of the model, so it can let other work run, and `isCancelled` asked before it; a search that is cancelled or out
 * of budget returns what it found so far.
 */
export class EverythingGenerator {
  /**
   * @param {Predictor} predictor @param {EverythingSettings} settings
   * @param {{progress?: (progress: SearchProgress) => void | Promise<void>, isCancelled?: () => boolean}} [hooks]
   */
  constructor(predictor, settings, { progress = () => {}, isCancelled = () => false } = {}) {
    const least = settings.hierarchical ? predictor.manifest.search.coarseFactor : 1;
    if (!(settings.pointsPerSide >= least)) {
      throw new SettingsError(`pointsPerSide must be at least ${least}, not ${settings.pointsPerSide}`);
    }
    this.predictor = predictor;
    this.settings = settings;
    this.progress = progress;
    this.isCancelled = isCancelled;
  }

  /** @param {EncodedPhoto} photo @returns {Promise<EverythingResult>} */
  async generate(photo) {
    const search = new Search(this, photo);
    const found = this.settings.hierarchical ? await search.hierarchical() : await search.flat();
    const cleaned = this.settings.minRegionArea > 0 ? clean(found, this.settings) : found;
    return {
      objects: byFallingScore(cleaned.map(({ score }) => score)).map((i) => cleaned[i]),
      visited: search.visited,
      decoderCalls: search.decoderCalls,
      scoreCalls: search.scoreCalls,
      end: search.end,
    };
  }
}

/** One run over one photo: what was visited, what it cost, why it ended. */
class Search {
  /** @param {EverythingGenerator} generator @param {EncodedPhoto} photo */
  constructor(generator, photo) {
    this.generator = generator;
    this.settings = generator.settings;
    this.predictor = generator.predictor;
    this.manifest = generator.predictor.manifest;
    this.photo = photo;
    /** @type {PhotoPoint[]} */
    this.visited = [];
    this.decoderCalls = 0;
    this.scoreCalls = 0;
    this.scoresFirst = this.settings.mode === 'fast' && this.predictor.canScore;
    this.found = 0;
    /** @type {SearchEnd} */
    this.end = 'complete';
    this.started = performance.now();
    this.upscaler = generator.predictor.upscaler(photo.geometry);
    this.lattice = new PointLattice(photo.geometry.height, photo.geometry.width);
  }

  /** Survivors of round 2 come first in ties. */
  async hierarchical() {
    const { pointsPerSide, boxNmsThresh, mode } = this.settings;
    const coarse = this.lattice.coarse(pointsPerSide, this.manifest.search);
    const fine = this.lattice.secondRound(pointsPerSide, this.manifest.search);
    const judge = this.judge(fine);
    const first = await this.decode(judge, coarse, 1);
    const open = judge.uncovered().map((i) => fine[i]);
    const second =
      mode === 'fast'
        ? await this.refine(judge, coarse, first, open)
        : (await this.decode(judge, open, 2)).candidates;
    return finish(judge, [...second, ...first.candidates], boxNmsThresh);
  }

  async flat() {
    const judge = this.judge([]);
    const { candidates } = await this.decode(judge, this.lattice.grid(this.settings.pointsPerSide), 1);
    return finish(judge, candidates, this.settings.boxNmsThresh);
  }

  /**
   * Decodes the white points of a chessboard, then the black ones that may have a mask: those beside a point whose
   * score came near to the threshold, and those of whose neighbours nothing is known.
   * @param {AnyJudge} judge @param {LatticePoint[]} coarse @param {Found} first @param {LatticePoint[]} open
   */
  async refine(judge, coarse, first, open) {
    const isWhite = (/** @type {LatticePoint} */ { column, row }) => (column + row) % 2 === 0;
    const white = open.filter(isWhite);
    const second = await this.decode(judge, white, 2);
    const decoded = [...coarse, ...white];
    const scores = [...first.bestScores, ...second.bestScores];
    const near = Math.fround(this.settings.predIouThresh - this.manifest.search.fast.nearIouSlack);
    const besideNear = neighbours(decoded.filter((_, i) => scores[i] > near));
    const besideDecoded = neighbours(decoded);
    const black = open.filter(
      (point) => !isWhite(point) && (besideNear.has(cellKey(point)) || !besideDecoded.has(cellKey(point))),
    );
    return [...second.candidates, ...(await this.decode(judge, black, 2)).candidates];
  }

  /** @param {PhotoPoint[]} watched */
  judge(watched) {
    const { maskThreshold, search } = this.manifest;
    return this.settings.mode === 'fast'
      ? new FastJudge(this.upscaler, this.settings, maskThreshold, watched, search.fast)
      : new ExactJudge(this.upscaler, this.settings, maskThreshold, watched);
  }

  /**
   * The survivors of some points, and for each point the best predicted IoU of its masks; 0 where a budget ended it.
   * @typedef {{candidates: any[], bestScores: number[]}} Found
   * @param {AnyJudge} judge @param {PhotoPoint[]} points @param {number} round @returns {Promise<Found>}
   */
  async decode(judge, points, round) {
    const bestScores = this.scoresFirst ? await this.scores(points, round) : points.map(() => 0);
    const floor = Math.fround(this.settings.predIouThresh - this.manifest.search.fast.scoreSlack);
    const promising = [...points.keys()].filter((i) => !this.scoresFirst || bestScores[i] > floor);
    /** @type {any[]} */
    let candidates = [];
    const { batch } = this.manifest.sizes;
    for (let start = 0; start < promising.length && !this.mustStop(); start += batch) {
      const chosen = promising.slice(start, start + batch);
      const clicks = chosen.map((i) => ({ x: points[i].x, y: points[i].y }));
      const answer = await this.predictor.decodeClicks(this.photo, clicks);
      this.decoderCalls++;
      if (!this.scoresFirst) this.visited.push(...clicks);
      clicks.forEach((point, row) => {
        candidates.push(...judge.survivors(answer, row, point));
        bestScores[chosen[row]] = Math.max(...answer.scores(row));
      });
      candidates = judge.thin(candidates);
      const waiting = Math.max(promising.length - start - batch, 0);
      await this.tell(round, points.length - waiting, points.length, candidates.length);
    }
    this.found += candidates.length;
    return { candidates, bestScores };
  }

  /**
   * Of each point's masks the best predicted IoU; 0 where the search ended before.
   * @param {PhotoPoint[]} points @param {number} round
   */
  async scores(points, round) {
    const best = points.map(() => 0);
    const { scoreBatch } = this.manifest.sizes;
    for (let start = 0; start < points.length && !this.mustStop(); start += scoreBatch) {
      const clicks = points.slice(start, start + scoreBatch).map(({ x, y }) => ({ x, y }));
      const found = await this.predictor.scoreClicks(this.photo, clicks);
      this.scoreCalls++;
      this.visited.push(...clicks);
      found.forEach((scores, row) => (best[start + row] = Math.max(...scores)));
      await this.tell(round, 0, points.length, 0);
    }
    return best;
  }

  /** @param {number} round @param {number} decoded @param {number} total @param {number} found of this round */
  async tell(round, decoded, total, found) {
    await this.generator.progress({ round, decoded, total, found: this.found + found });
  }

  mustStop() {
    const { maxDecoderCalls, budgetMs } = this.settings;
    if (this.generator.isCancelled()) this.end = 'cancelled';
    else if (maxDecoderCalls !== null && this.decoderCalls >= maxDecoderCalls) this.end = 'budget';
    else if (budgetMs !== null && performance.now() - this.started >= budgetMs) this.end = 'budget';
    return this.end !== 'complete';
  }
}

/**
 * A judge finishes the candidates that it made itself.
 * @param {AnyJudge} judge @param {any[]} found @param {number} iou
 */
function finish(judge, found, iou) {
  return judge.finished(found, iou);
}

/** @param {LatticePoint} point */
function cellKey({ column, row }) {
  return `${column},${row}`;
}

/** The cells around `points`, as keys. @param {LatticePoint[]} points */
function neighbours(points) {
  const found = new Set();
  const steps = [-1, 0, 1];
  for (const { column, row } of points) {
    for (const dx of steps) {
      for (const dy of steps) if (dx || dy) found.add(`${column + dx},${row + dy}`);
    }
  }
  return found;
}

/**
 * Fills small holes and drops small islands, then NMS that prefers masks which needed neither.
 * @param {SegmentedObject[]} objects @param {EverythingSettings} settings
 */
function clean(objects, { minRegionArea, boxNmsThresh, cropNmsThresh }) {
  const priorities = new Float32Array(objects.length);
  const cleaned = objects.map((object, i) => {
    const filled = removeSmallRegions(object.runs.decode(), minRegionArea, 'holes');
    const dropped = removeSmallRegions(filled.mask, minRegionArea, 'islands');
    const changed = filled.changed || dropped.changed;
    priorities[i] = changed ? 0 : 1;
    if (!changed) return object;
    const runs = RunLengths.encode(dropped.mask);
    return { ...object, runs, box: runs.box };
  });
  const boxes = flatBoxes(cleaned.map(({ box }) => box));
  return suppressOverlaps(boxes, priorities, Math.max(boxNmsThresh, cropNmsThresh)).map((i) => cleaned[i]);
}
