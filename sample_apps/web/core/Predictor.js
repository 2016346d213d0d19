import { EngineError, PromptError } from './Errors.js';
import { Geometry } from './Geometry.js';
import { MaskUpscaler } from './MaskUpscaler.js';
import { preprocess } from './Preprocess.js';
import { Prompt, packPrompts } from './Prompts.js';
import { stabilityScore } from './Stability.js';

/** @import { Manifest } from './Manifest.js' */
/** @import { Preprocessed } from './Preprocess.js' */
/** @import { RgbImage } from './RgbImage.js' */
/** @import { ImageFeatures } from './Features.js' */
/** @import { Rules } from './Rules.js' */
/** @import { SegmentationEngine } from './SegmentationEngine.js' */

/**
 * A photo as the decoder sees it, and where it lies in the S frame; keep it to prompt the photo again.
 * @typedef {{features: ImageFeatures, geometry: Geometry}} EncodedPhoto
 */

/**
 * The answer to one prompt: of each mask the low-resolution logits (m, m) and the predicted IoU.
 *
 * `logits[best]` can go back into `Predictor.predict` as the mask prompt.
 */
export class Prediction {
  /** @param {Float32Array[]} logits @param {Float32Array} scores @param {MaskUpscaler} upscaler */
  constructor(logits, scores, upscaler) {
    this.logits = logits;
    this.scores = scores;
    /** Index of the mask to show. */
    this.best = bestOf(selectionScores(logits, scores, upscaler.geometry.rules));
    this.upscaler = upscaler;
  }

  /** A mask in pixels of the photo, made at each call. @param {number} [index] */
  mask(index = this.best) {
    return this.upscaler.mask(this.logits[index]);
  }
}

/**
 * What decides which mask of a prompt is shown: `scores` are the predicted IoUs of the masks `logits` (m, m).
 * @param {Float32Array[]} logits @param {Float32Array} scores @param {Readonly<Rules>} rules
 */
export function selectionScores(logits, scores, { selection }) {
  if (selection === 'predicted_iou') return scores;
  return Float32Array.from(logits, (mask) => stabilityScore(mask, 0, 1));
}

/**
 * Index of the highest score, the first of equal ones.
 *
 * A score that is not a number wins, as it does on the host, so that a broken model is seen and not hidden.
 * @param {Float32Array} scores
 */
export function bestOf(scores) {
  const broken = scores.findIndex(Number.isNaN);
  return broken >= 0 ? broken : scores.indexOf(Math.max(...scores));
}

/** Masks for prompts: a photo is encoded once, then each prompt is a quick decode. */
export class Predictor {
  /**
   * @param {SegmentationEngine} engine
   * @param {Manifest} manifest
   */
  constructor(engine, manifest) {
    this.engine = engine;
    this.manifest = manifest;
  }

  /** @param {RgbImage} photo @returns {Promise<EncodedPhoto>} */
  encode(photo) {
    return this.encodePreprocessed(preprocess(photo, this.manifest));
  }

  /** @param {Preprocessed} image @returns {Promise<EncodedPhoto>} */
  async encodePreprocessed(image) {
    return { features: await this.engine.encode(image), geometry: image.geometry };
  }

  /** The upscaler of a photo's masks; making one costs more than a mask of a small photo, so keep it.
   * @param {Geometry} geometry
   */
  upscaler(geometry) {
    return new MaskUpscaler(geometry, this.manifest.sizes.maskSize, this.manifest.maskThreshold);
  }

  /**
   * The masks of one prompt; `maskInput` (m, m) are low-resolution logits of an earlier prediction.
   *
   * Throws `PromptError` for a prompt that is empty, outside the photo or too large for the model's slots, and for
   * a mask prompt of another size or that is not finite.
   * @param {EncodedPhoto} photo @param {Prompt} prompt @param {Float32Array | null} [maskInput]
   * @param {MaskUpscaler} [upscaler]
   */
  async predict(photo, prompt, maskInput = null, upscaler = this.upscaler(photo.geometry)) {
    prompt.requireContent(maskInput !== null);
    if (maskInput) this.requireMaskInput(maskInput);
    const { labels, sizes } = this.manifest;
    const packed = packPrompts([prompt], photo.geometry, labels, sizes.slots, 1);
    const answer = await this.engine.decode(photo.features, packed, maskInput);
    const logits = Array.from({ length: answer.masksPerPrompt }, (_, i) => answer.logits(0, i));
    return new Prediction(logits, answer.scores(0), upscaler);
  }

  /**
   * The decoder's answers to at most the manifest's `batch` clicks on the object, x, y in the photo.
   * @param {EncodedPhoto} photo @param {{x: number, y: number}[]} clicks
   */
  decodeClicks(photo, clicks) {
    const prompts = clicks.map(({ x, y }) => new Prompt([{ x, y, isOnObject: true }]));
    return this.decodePrompts(photo, prompts);
  }

  /**
   * The decoder's answers to at most the manifest's `batch` prompts, none of them empty.
   * @param {EncodedPhoto} photo @param {Prompt[]} prompts
   */
  decodePrompts(photo, prompts) {
    prompts.forEach((prompt) => prompt.requireContent(false));
    const { labels, sizes } = this.manifest;
    const packed = packPrompts(prompts, photo.geometry, labels, sizes.slots, sizes.batch);
    return this.engine.decodeBatch(photo.features, packed);
  }

  /** Whether `scoreClicks` works with this model. */
  get canScore() {
    return this.manifest.scoreSlots !== null && this.engine.canScore === true;
  }

  /**
   * The predicted IoUs (M,) of at most the manifest's `scoreBatch` clicks, without masks: a fraction of the cost.
   * @param {EncodedPhoto} photo @param {{x: number, y: number}[]} clicks @returns {Promise<Float32Array[]>}
   */
  async scoreClicks(photo, clicks) {
    const { labels, masksPerPrompt: masks, scoreSlots, sizes } = this.manifest;
    if (scoreSlots === null || !this.engine.scoreBatch) throw new EngineError('the model has no score_batch');
    const prompts = clicks.map(({ x, y }) => new Prompt([{ x, y, isOnObject: true }]));
    const packed = packPrompts(prompts, photo.geometry, labels, scoreSlots, sizes.scoreBatch);
    const scores = await this.engine.scoreBatch(photo.features, packed);
    return clicks.map((_, i) => scores.subarray(i * masks, (i + 1) * masks));
  }

  /** @param {Float32Array} logits */
  requireMaskInput(logits) {
    const side = this.manifest.sizes.maskSize;
    if (!this.manifest.rules.maskPrompts) {
      throw new PromptError(
        'mask_input',
        'this model was never trained with mask prompts: give points or a box',
      );
    }
    if (logits.length !== side * side || !logits.every(Number.isFinite)) {
      throw new PromptError(
        'mask_input',
        `a mask prompt is ${side} x ${side} finite logits of an earlier answer, not ${logits.length} numbers or ` +
          'with NaN or infinity among them',
      );
    }
  }
}
