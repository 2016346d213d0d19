/** @import { ImageFeatures } from './Features.js' */
/** @import { Preprocessed } from './Preprocess.js' */
/** @import { PackedPrompts } from './Prompts.js' */

/**
 * The model's entry points, on any runtime.  One call at a time.
 *
 * Rejects with `EngineError` if the runtime fails or answers with other shapes.
 * @typedef {object} SegmentationEngine
 * @property {(image: Preprocessed) => Promise<ImageFeatures>} encode
 * @property {(features: ImageFeatures, prompt: PackedPrompts,
 *   maskInput: Float32Array | null) => Promise<DecoderAnswer>} decode one prompt; `maskInput` float32 (m, m) are
 *   logits of an earlier answer, or null for no mask prompt
 * @property {(features: ImageFeatures, prompts: PackedPrompts) => Promise<DecoderAnswer>}
 *   decodeBatch the manifest's `batch` prompts of one photo
 * @property {boolean} [canScore] whether the model has `score_batch`; some artifacts have not
 * @property {(features: ImageFeatures, prompts: PackedPrompts) => Promise<Float32Array>} [scoreBatch] the predicted
 *   IoU float32 (K', M) of the manifest's `scoreBatch` prompts, whose masks are not made
 * @property {(features: ImageFeatures) => void} release frees what the engine keeps of a photo
 * @property {() => void} close
 */

/**
 * What the decoder returned: `logits` float32 (K, M, m, m) and `scores` float32 (K, M), the IoU that the model
 * predicts for each of a prompt's M masks.
 */
export class DecoderAnswer {
  /**
   * @param {Float32Array} logits @param {Float32Array} scores @param {number} masksPerPrompt
   * @param {number} maskSize
   */
  constructor(logits, scores, masksPerPrompt, maskSize) {
    this.allLogits = logits;
    this.allScores = scores;
    this.masksPerPrompt = masksPerPrompt;
    this.maskSize = maskSize;
  }

  /** The low-resolution logits (m, m) of one mask, a view. @param {number} prompt @param {number} mask */
  logits(prompt, mask) {
    const length = this.maskSize * this.maskSize;
    const start = (prompt * this.masksPerPrompt + mask) * length;
    return this.allLogits.subarray(start, start + length);
  }

  /** The predicted IoU (M,) of a prompt's masks. @param {number} prompt */
  scores(prompt) {
    return this.allScores.subarray(prompt * this.masksPerPrompt, (prompt + 1) * this.masksPerPrompt);
  }
}
