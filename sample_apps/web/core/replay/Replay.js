import { RecordingError } from '../Errors.js';
import { joinFeatures, joinedShape } from '../Features.js';
import { bestOf, selectionScores } from '../Predictor.js';
import { preprocess } from '../Preprocess.js';
import { PackedPrompts, packPrompts } from '../Prompts.js';
import { RGB_CHANNELS } from '../RgbImage.js';
import { Latencies } from './DumpWriter.js';

/** @import { MaskUpscaler } from '../MaskUpscaler.js' */
/** @import { EncodedPhoto, Predictor } from '../Predictor.js' */
/** @import { DecoderAnswer } from '../SegmentationEngine.js' */
/** @import { DumpWriter } from './DumpWriter.js' */
/** @import { FixturePhoto, FixturePrompt, FixtureSet } from './FixtureSet.js' */

/** x, y and label of a slot. */
export const SLOT_NUMBERS = 3;

/**
 * Replays fixtures with the code that the app uses for its users, and keeps what every step gave.
 *
 * Each step works on the app's own output of the step before.  Prompts with a mask prompt and the first one
 * without go through `decode`, the others through `decode_batch`, so that both entry points are run.
 */
export class Replay {
  /**
   * @param {Predictor} predictor @param {FixtureSet} fixtures
   * @param {DumpWriter} dump
   */
  constructor(predictor, fixtures, dump) {
    this.predictor = predictor;
    this.engine = predictor.engine;
    this.manifest = predictor.manifest;
    this.sizes = predictor.manifest.sizes;
    this.fixtures = fixtures;
    this.dump = dump;
    this.latencies = new Latencies();
  }

  /**
   * Runs all photos; rejects with `RecordingError` if the fixtures are of a model of other sizes.
   * @param {(done: number, total: number) => void | Promise<void>} [progress] of prompts
   */
  async run(progress = () => {}) {
    const own = JSON.stringify(this.sizes);
    const theirs = JSON.stringify(this.fixtures.sizes);
    if (own !== theirs) {
      throw new RecordingError(`the fixtures belong to a model of ${theirs}, the app's has ${own}`);
    }
    await this.warmUp();
    const total = this.fixtures.photos.reduce((sum, { prompts }) => sum + prompts.length, 0);
    let done = 0;
    for (const photo of this.fixtures.photos) {
      await this.replay(photo, (prompts) => progress((done += prompts), total));
    }
  }

  /** Each entry point once: the first call of a model is slow, and no user's. */
  async warmUp() {
    const photo = this.fixtures.photos.find(({ prompts }) => prompts.length > 0);
    if (!photo) return;
    const encoded = await this.predictor.encode(await this.fixtures.pixels(photo));
    const [prompt] = photo.prompts;
    const mask = await this.fixtures.maskInput(prompt);
    const packed = this.pack(prompt, encoded);
    await this.engine.decode(encoded.features, packed, mask);
    if (mask === null) await this.engine.decodeBatch(encoded.features, this.batchOf([packed]));
    this.engine.release(encoded.features);
  }

  /** @param {FixturePhoto} photo @param {(prompts: number) => void | Promise<void>} progress */
  async replay(photo, progress) {
    const encoded = await this.encode(photo);
    const upscaler = this.predictor.upscaler(encoded.geometry);
    const { single, batched } = throughBothEntryPoints(photo.prompts);
    for (const prompt of single) {
      const packed = this.pack(prompt, encoded);
      const mask = await this.fixtures.maskInput(prompt);
      const answer = await this.latencies.measure('decode', () =>
        this.engine.decode(encoded.features, packed, mask),
      );
      await this.record(prompt, packed, answer, 0, upscaler);
      await progress(1);
    }
    for (let start = 0; start < batched.length; start += this.sizes.batch) {
      const prompts = batched.slice(start, start + this.sizes.batch);
      const packed = prompts.map((prompt) => this.pack(prompt, encoded));
      const batch = this.batchOf(packed);
      const answer = await this.latencies.measure('decode_batch', () =>
        this.engine.decodeBatch(encoded.features, batch),
      );
      for (const [row, prompt] of prompts.entries())
        await this.record(prompt, packed[row], answer, row, upscaler);
      await progress(prompts.length);
    }
    this.engine.release(encoded.features);
  }

  /** @param {FixturePhoto} photo */
  async encode(photo) {
    const { imageSize } = this.sizes;
    const pixels = await this.fixtures.pixels(photo);
    const image = await this.latencies.measure('preprocess', () => preprocess(pixels, this.manifest));
    this.dump.writeFloats(
      `${photo.name}/preprocessed_image`,
      [RGB_CHANNELS, imageSize, imageSize],
      image.image,
    );
    const encoded = await this.latencies.measure('encode', () => this.predictor.encodePreprocessed(image));
    const { encoderOutputs } = this.manifest;
    const joined = joinFeatures(encoded.features, encoderOutputs);
    this.dump.writeFloats(`${photo.name}/embedding`, joinedShape(encoderOutputs), joined);
    return encoded;
  }

  /**
   * @param {FixturePrompt} prompt @param {PackedPrompts} packed
   * @param {DecoderAnswer} answer @param {number} row
   * @param {MaskUpscaler} upscaler
   */
  async record({ name }, packed, answer, row, upscaler) {
    const { maskSize, slots } = this.sizes;
    const scores = answer.scores(row);
    const masks = Array.from({ length: answer.masksPerPrompt }, (_, i) => answer.logits(row, i));
    const best = bestOf(selectionScores(masks, scores, this.manifest.rules));
    const mask = await this.latencies.measure('postprocess', () => upscaler.mask(answer.logits(row, best)));
    const logits = new Float32Array(answer.masksPerPrompt * maskSize ** 2);
    masks.forEach((values, i) => logits.set(values, i * maskSize ** 2));
    this.dump.writeFloats(`${name}/packed_prompt`, [slots, SLOT_NUMBERS], slotRows(packed, 0));
    this.dump.writeFloats(`${name}/low_res_logits`, [answer.masksPerPrompt, maskSize, maskSize], logits);
    this.dump.writeFloats(`${name}/predicted_iou`, [scores.length], scores);
    this.dump.writeInteger(`${name}/chosen_mask`, best);
    this.dump.writeBytes(`${name}/full_size_mask`, [mask.height, mask.width], mask.pixels);
  }

  /** @param {FixturePrompt} fixture @param {EncodedPhoto} photo */
  pack({ prompt, spareXy }, photo) {
    const { labels, sizes } = this.manifest;
    const packed = packPrompts([prompt], photo.geometry, labels, sizes.slots, 1);
    packed.labels.forEach((label, slot) => {
      if (label === labels.unused) packed.set(slot, spareXy, spareXy, label);
    });
    return packed;
  }

  /**
   * Packed prompts in the rows of one batch; the rows that are left over are unused slots.
   * @param {PackedPrompts[]} rows
   */
  batchOf(rows) {
    const { batch, slots } = this.sizes;
    const packed = new PackedPrompts(batch, slots, this.manifest.labels);
    rows.forEach(({ coords, labels }, row) => {
      packed.coords.set(coords, 2 * row * slots);
      packed.labels.set(labels, row * slots);
    });
    return packed;
  }
}

/** @param {FixturePrompt[]} prompts */
function throughBothEntryPoints(prompts) {
  const batched = prompts.filter(({ hasMaskInput }) => !hasMaskInput).slice(1);
  return { single: prompts.filter((prompt) => !batched.includes(prompt)), batched };
}

/**
 * The slots of one packed prompt as float32 (N, 3), flat: x, y in the S frame and label.
 * @param {PackedPrompts} packed @param {number} row
 */
export function slotRows({ slots, coords, labels }, row) {
  const rows = new Float32Array(slots * SLOT_NUMBERS);
  for (let i = 0; i < slots; i++) {
    const slot = row * slots + i;
    rows.set([coords[2 * slot], coords[2 * slot + 1], labels[slot]], i * SLOT_NUMBERS);
  }
  return rows;
}
