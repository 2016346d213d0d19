/** Prompts on a photo: what reaches the engine, and which mask comes back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PromptError } from '../core/Errors.js';
import { Predictor } from '../core/Predictor.js';
import { Prompt } from '../core/Prompts.js';
import { RgbImage } from '../core/RgbImage.js';
import { DecoderAnswer } from '../core/SegmentationEngine.js';
import { manifest } from './fixtures.js';

const rules = manifest();
const { maskSize, batch } = rules.sizes;

/** Notes what it is asked; answers three masks: nothing, all, the left half. */
class NotingEngine {
  constructor() {
    /** @type {any[]} */
    this.asked = [];
  }

  /** @param {any} image */
  async encode(image) {
    this.asked.push(image);
    return { values: {} };
  }

  /** @param {any} _ @param {any} packed @param {any} mask */
  async decode(_, packed, mask) {
    this.asked.push({ packed, mask });
    const area = maskSize ** 2;
    const logits = Float32Array.from({ length: 3 * area }, (__, i) => {
      if (i < area) return -1;
      return i < 2 * area || i % maskSize < maskSize / 2 ? 1 : -1;
    });
    return new DecoderAnswer(logits, Float32Array.of(0.1, 0.5, 0.9), 3, maskSize);
  }

  /** @param {any} features @param {any} packed */
  decodeBatch(features, packed) {
    return this.decode(features, packed, null);
  }

  release() {}

  close() {}
}

async function world() {
  const engine = new NotingEngine();
  const predictor = new Predictor(engine, rules);
  const photo = await predictor.encode(new RgbImage(60, 80, new Uint8Array(60 * 80 * 3).fill(9)));
  return { engine, predictor, photo };
}

test('a model that was never trained with mask prompts refuses them', async () => {
  const { engine } = await world();
  const other = new Predictor(
    engine,
    Object.assign(manifest(), { rules: { ...rules.rules, maskPrompts: false } }),
  );
  const photo = await other.encode(new RgbImage(2, 2, new Uint8Array(12)));
  const mask = new Float32Array(maskSize ** 2);
  await assert.rejects(other.predict(photo, new Prompt([]), mask), /never trained with mask prompts/);
});

test('a photo reaches the engine as planes, with where it lies', async () => {
  const { engine, photo } = await world();
  const [{ image }] = engine.asked;
  assert.equal(image.length, 3 * rules.sizes.imageSize ** 2);
  assert.equal(image[0], 9);
  assert.equal(image[image.length - 1], rules.padValue);
  assert.deepEqual([photo.geometry.validHeight, photo.geometry.validWidth], [96, 128]);
});

test('the best mask is the one with the highest score, in pixels of the photo', async () => {
  const { predictor, photo } = await world();
  const prediction = await predictor.predict(photo, new Prompt([{ x: 1, y: 1, isOnObject: true }]));
  assert.equal(prediction.best, 2);
  const mask = prediction.mask();
  assert.deepEqual([mask.height, mask.width], [60, 80]);
  assert.ok(mask.isInside(10, 30));
  assert.ok(!mask.isInside(70, 30));
  assert.equal(prediction.mask(0).area, 0);
  assert.equal(prediction.mask(1).area, 60 * 80);
});

test('a mask prompt goes to the engine, and one that is none is refused', async () => {
  const { engine, predictor, photo } = await world();
  const mask = new Float32Array(maskSize ** 2).fill(0.5);
  await predictor.predict(photo, new Prompt([]), mask);
  assert.equal(engine.asked[1].mask, mask);
  const broken = mask.slice();
  broken[3] = Number.NaN;
  for (const wrong of [mask.subarray(1), broken]) {
    const ask = predictor.predict(photo, new Prompt([]), wrong);
    await assert.rejects(ask, (error) => error instanceof PromptError && error.fault === 'mask_input');
  }
});

test('nothing at all is no prompt', async () => {
  const { predictor, photo } = await world();
  const ask = predictor.predict(photo, new Prompt([]));
  await assert.rejects(ask, (error) => error instanceof PromptError && error.fault === 'empty');
});

test('clicks fill a batch, and what is left over is unused', async () => {
  const { engine, predictor, photo } = await world();
  await predictor.decodeClicks(photo, [
    { x: 0, y: 0 },
    { x: 80, y: 60 },
  ]);
  const { packed } = engine.asked[1];
  assert.equal(packed.prompts, batch);
  const { foreground, pad, unused } = rules.labels;
  assert.deepEqual([...packed.labels.slice(0, 3)], [foreground, pad, unused]);
  assert.ok(packed.labels.slice(2 * packed.slots).every((/** @type {number} */ label) => label === unused));
  assert.deepEqual([...packed.coords.slice(2 * packed.slots, 2 * packed.slots + 2)], [128, 96]);
});
