/** A model whose encoder returns two feature maps that no code here knows by name, on a runtime that only notes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { EngineError, ManifestError } from '../core/Errors.js';
import { joinFeatures, joinedShape, splitFeatures } from '../core/Features.js';
import { Contract } from '../core/Manifest.js';
import { parseManifest } from '../core/ManifestReader.js';
import { Predictor } from '../core/Predictor.js';
import { Prompt } from '../core/Prompts.js';
import { RgbImage } from '../core/RgbImage.js';
import { LiteRtEngine } from '../platform/LiteRtEngine.js';
import { readFixture } from './fixtures.js';

const EXTRA = [
  { name: 'made_up_map', shape: [1, 4, 6, 6], dtype: 'float32' },
  { name: 'other', shape: [1, 2, 3, 3], dtype: 'float32' },
];

/** The shared manifest with more encoder outputs, which every decoder takes after the embedding. */
function manifestWith(/** @type {object[]} */ extra) {
  const data = JSON.parse(readFixture('manifest.json').toString());
  data.entry_points.encode.outputs.splice(1, 0, ...extra);
  for (const name of ['decode', 'decode_batch']) data.entry_points[name].inputs.splice(1, 0, ...extra);
  return parseManifest(JSON.stringify(data));
}

/** A tensor that knows when it was freed. */
class NotedTensor {
  static alive = 0;

  /** @param {any} values @param {number[]} shape */
  constructor(values, shape) {
    this.values = values;
    this.shape = shape;
    NotedTensor.alive++;
  }

  async data() {
    return this.values;
  }

  delete() {
    NotedTensor.alive--;
  }
}

/** LiteRT without a model: outputs are filled with 1, 2, 3 in their order. */
async function engineOf(/** @type {any} */ rules, outputs = rules.encoderOutputs) {
  /** @type {Map<string, Record<string, NotedTensor>>} */
  const given = new Map();
  const compiled = {
    /** @param {string} name @param {any} inputs */
    async run(name, inputs) {
      given.set(name, inputs);
      const specs = name === Contract.ENCODE ? outputs : rules.entryPoints[name].outputs;
      const count = (/** @type {number[]} */ shape) => shape.reduce((product, side) => product * side, 1);
      return Object.fromEntries(
        specs.map((/** @type {any} */ { name: output, shape }, /** @type {number} */ i) => {
          const values = new Float32Array(count(shape)).fill(i + 1);
          return [output, new NotedTensor(values, shape)];
        }),
      );
    },
    delete() {},
  };
  const litert = /** @type {any} */ ({ Tensor: NotedTensor, loadAndCompile: async () => compiled });
  const files = { encoder: new Uint8Array(), decoder: new Uint8Array() };
  const engine = await LiteRtEngine.open(litert, rules, rules.artifactsOf('tflite', 'fp32'), files, 'wasm');
  return { engine, given };
}

const photo = () => new RgbImage(6, 4, new Uint8Array(72));
const click = { x: 1, y: 2, isOnObject: true };

test('whatever the encoder returns reaches the decoder by name', async () => {
  const rules = manifestWith(EXTRA);
  const { engine, given } = await engineOf(rules);
  const predictor = new Predictor(engine, rules);
  const before = NotedTensor.alive;
  const encoded = await predictor.encode(photo());
  await predictor.predict(encoded, new Prompt([click]));
  await predictor.decodeClicks(encoded, [click]);
  for (const name of [Contract.DECODE, Contract.DECODE_BATCH]) {
    const inputs = given.get(name);
    assert.deepEqual(
      Object.keys(inputs ?? {}).sort(),
      rules.entryPoints[name].inputs.map((spec) => spec.name).sort(),
    );
    for (const [i, { name: feature, shape }] of rules.encoderOutputs.entries()) {
      assert.deepEqual(inputs?.[feature].shape, shape);
      assert.equal(inputs?.[feature].values[0], i + 1, `${feature} of ${name}`);
    }
  }
  assert.ok(predictor.canScore);
  assert.deepEqual(await predictor.scoreClicks(encoded, [click]), [Float32Array.of(1, 1, 1)]);
  const scored = Object.keys(given.get(Contract.SCORE_BATCH) ?? {}).sort();
  assert.deepEqual(scored, ['image_embeddings', 'point_coords', 'point_labels'], 'maps are for masks alone');
  engine.release(encoded.features);
  assert.equal(NotedTensor.alive, before, 'tensors are freed');
});

test('features go through one array and back', async () => {
  const specs = manifestWith(EXTRA).encoderOutputs;
  const { engine } = await engineOf(manifestWith(EXTRA));
  const image = { image: new Float32Array(3 * 128 ** 2), geometry: /** @type {any} */ ({}) };
  const features = await engine.encode(image);
  const joined = joinFeatures(features, specs);
  assert.deepEqual(joinedShape(specs), [64 * 8 * 8 + 4 * 6 * 6 + 2 * 3 * 3]);
  assert.equal(joined[64 * 8 * 8], 2);
  assert.deepEqual(splitFeatures(joined, specs), features);
  assert.throws(() => joinFeatures({ values: {} }, specs), EngineError);
  assert.deepEqual(joinedShape(specs.slice(0, 1)), [64, 8, 8]);
});

test('a model that gives fewer features than its manifest is refused', async () => {
  const rules = manifestWith(EXTRA);
  const { engine } = await engineOf(rules, rules.encoderOutputs.slice(0, 1));
  await assert.rejects(new Predictor(engine, rules).encode(photo()), /answered made_up_map with no numbers/);
});

for (const shape of [[1, -2], [2 ** 31, 2 ** 31], [0]]) {
  test(`features of shape ${shape} are refused`, () => {
    assert.throws(() => manifestWith([{ name: 'x', shape, dtype: 'float32' }]), ManifestError);
  });
}

test('two features of one name are refused', () => {
  const same = { name: 'x', shape: [1], dtype: 'float32' };
  assert.throws(() => manifestWith([same, same]), ManifestError);
});
