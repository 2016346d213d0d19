import { RecordingError } from '../Errors.js';
import { joinedCount, splitFeatures } from '../Features.js';
import { RGB_CHANNELS } from '../RgbImage.js';
import { DecoderAnswer } from '../SegmentationEngine.js';
import { SLOT_NUMBERS, slotRows } from './Replay.js';

/** @import { Manifest } from '../Manifest.js' */
/** @import { Preprocessed } from '../Preprocess.js' */
/** @import { PackedPrompts } from '../Prompts.js' */
/** @import { ImageFeatures } from '../Features.js' */
/** @import { FixturePhoto, FixtureSet } from './FixtureSet.js' */

/**
 * An engine without a model: it answers what the fixtures' float model answered.
 *
 * It knows a photo by its preprocessed pixels and a prompt by its slots and mask prompt, and throws
 * `RecordingError` for any other, so a replay on it also proves preprocessing and packing.
 */
export class RecordedEngine {
  /** @param {FixtureSet} fixtures @param {Manifest} manifest */
  constructor(fixtures, manifest) {
    this.fixtures = fixtures;
    this.manifest = manifest;
    /** @type {WeakMap<ImageFeatures, FixturePhoto>} */
    this.encoded = new WeakMap();
  }

  /** @param {Preprocessed} image @returns {Promise<ImageFeatures>} */
  async encode({ image }) {
    const { encoderOutputs, sizes } = this.manifest;
    for (const photo of this.fixtures.photos) {
      const expected = await this.fixtures.expected(
        photo.name,
        'preprocessed_image',
        RGB_CHANNELS * sizes.imageSize ** 2,
      );
      if (!isSame(expected, image)) continue;
      const joined = await this.fixtures.expected(photo.name, 'embedding', joinedCount(encoderOutputs));
      const features = splitFeatures(joined, encoderOutputs);
      this.encoded.set(features, photo);
      return features;
    }
    throw new RecordingError('the recording has no photo with these preprocessed pixels');
  }

  /**
   * @param {ImageFeatures} features @param {PackedPrompts} prompts @param {Float32Array | null} [maskInput]
   */
  async decode(features, prompts, maskInput = null) {
    const photo = this.encoded.get(features);
    if (!photo) throw new RecordingError('the recording has no such features');
    const { masksPerPrompt: masks, sizes } = this.manifest;
    const length = masks * sizes.maskSize ** 2;
    const logits = new Float32Array(prompts.prompts * length);
    const scores = new Float32Array(prompts.prompts * masks);
    for (let row = 0; row < prompts.prompts; row++) {
      const slots = slotRows(prompts, row);
      if (this.isUnused(slots)) continue;
      const name = await this.find(photo, slots, maskInput);
      logits.set(await this.fixtures.expected(name, 'low_res_logits', length), row * length);
      scores.set(await this.fixtures.expected(name, 'predicted_iou', masks), row * masks);
    }
    return new DecoderAnswer(logits, scores, masks, sizes.maskSize);
  }

  /** @param {ImageFeatures} features @param {PackedPrompts} prompts */
  decodeBatch(features, prompts) {
    return this.decode(features, prompts);
  }

  release() {}

  close() {}

  /** @param {Float32Array} slots */
  isUnused(slots) {
    return slots.every((value, i) => i % SLOT_NUMBERS !== 2 || value === this.manifest.labels.unused);
  }

  /** @param {FixturePhoto} photo @param {Float32Array} slots @param {Float32Array | null} maskInput */
  async find(photo, slots, maskInput) {
    for (const prompt of photo.prompts) {
      const expected = await this.fixtures.expected(prompt.name, 'packed_prompt', slots.length);
      if (!isSame(expected, slots)) continue;
      const recorded = await this.fixtures.maskInput(prompt);
      if (recorded && maskInput ? isSame(recorded, maskInput) : recorded === maskInput) return prompt.name;
    }
    throw new RecordingError(`${photo.name} has no recorded prompt with the slots ${slots}`);
  }
}

/** @param {Float32Array} first @param {Float32Array} second */
function isSame(first, second) {
  return first.length === second.length && first.every((value, i) => value === second[i]);
}
