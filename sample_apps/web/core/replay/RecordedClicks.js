import { RecordingError } from '../Errors.js';
import { DecoderAnswer } from '../SegmentationEngine.js';

/** @import { Manifest } from '../Manifest.js' */
/** @import { PackedPrompts } from '../Prompts.js' */
/** @import { ImageFeatures } from '../Features.js' */
/** @import { SegmentationEngine } from '../SegmentationEngine.js' */

/**
 * An engine that answers clicks from a recording (docs/app_fixtures.md, `everything.json`).
 *
 * To the point i of `points`, float32 (P, 2), in slot 0 it answers `logits`[`answers`[i]] of float32 (A, M, m, m)
 * with `scores`[i] of float32 (P, M).  Rows of unused slots get zeros; a click that was not recorded is a
 * `RecordingError`: the app decoded what the host would not.  Scores that come first are off by `scoreError`; without it
 * the engine gives none.
 * @implements {Pick<SegmentationEngine, 'encode' | 'decode' | 'decodeBatch' | 'scoreBatch'>}
 */
export class RecordedClicks {
  /**
   * @param {Manifest} manifest @param {Float32Array} points @param {number[]} answers
   * @param {Float32Array} logits @param {Float32Array} scores @param {number | null} [scoreError]
   */
  constructor(manifest, points, answers, logits, scores, scoreError = null) {
    this.scoreError = scoreError;
    this.manifest = manifest;
    this.answers = answers;
    this.logits = logits;
    this.scores = scores;
    this.places = new Map(answers.map((_, i) => [`${points[2 * i]},${points[2 * i + 1]}`, i]));
  }

  async encode() {
    return { values: {} };
  }

  /** @param {ImageFeatures} features @param {PackedPrompts} prompt */
  decode(features, prompt) {
    return this.decodeBatch(features, prompt);
  }

  /** @param {ImageFeatures} _ @param {PackedPrompts} prompts */
  async decodeBatch(_, prompts) {
    const { masksPerPrompt: masks, labels, sizes } = this.manifest;
    const length = masks * sizes.maskSize ** 2;
    const found = new Float32Array(prompts.prompts * length);
    const foundScores = new Float32Array(prompts.prompts * masks);
    for (let row = 0; row < prompts.prompts; row++) {
      const slot = row * prompts.slots;
      if (prompts.labels[slot] === labels.unused) continue;
      const place = this.placeOf(prompts.coords[2 * slot], prompts.coords[2 * slot + 1]);
      const source = this.answers[place] * length;
      found.set(this.logits.subarray(source, source + length), row * length);
      foundScores.set(this.scores.subarray(place * masks, (place + 1) * masks), row * masks);
    }
    return new DecoderAnswer(found, foundScores, masks, sizes.maskSize);
  }

  get canScore() {
    return this.scoreError !== null;
  }

  /** @param {ImageFeatures} _ @param {PackedPrompts} prompts */
  async scoreBatch(_, prompts) {
    const { masksPerPrompt: masks, labels } = this.manifest;
    const found = new Float32Array(prompts.prompts * masks);
    for (let row = 0; row < prompts.prompts; row++) {
      const slot = row * prompts.slots;
      if (prompts.labels[slot] === labels.unused) continue;
      const place = this.placeOf(prompts.coords[2 * slot], prompts.coords[2 * slot + 1]);
      const error = Math.fround(this.scoreError ?? 0);
      for (let i = 0; i < masks; i++) found[row * masks + i] = this.scores[place * masks + i] + error;
    }
    return found;
  }

  release() {}

  close() {}

  /** @param {number} x @param {number} y */
  placeOf(x, y) {
    const place = this.places.get(`${x},${y}`);
    if (place === undefined) throw new RecordingError(`the point ${x},${y} of the S frame was not recorded`);
    return place;
  }
}
