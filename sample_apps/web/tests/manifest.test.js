/** A manifest is read whole or refused by the name of the field at fault. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ManifestError } from '../core/Errors.js';
import { entryPointOf } from '../core/Manifest.js';
import { parseManifest } from '../core/ManifestReader.js';
import { manifest, readFixture } from './fixtures.js';

const raw = () => JSON.parse(readFixture('manifest.json').toString());

test('every number comes from the file', () => {
  const found = manifest();
  const file = raw();
  assert.deepEqual(Object.values(found.sizes), Object.values(file.sizes));
  assert.deepEqual(Object.values(found.search.fast), Object.values(file.everything_search.fast));
  assert.deepEqual(Object.values(found.labels), Object.values(file.prompts.label_codes));
  assert.deepEqual(Object.values(found.everything), Object.values(file.everything));
  assert.deepEqual(found.search.offsets, file.everything_search.offsets);
  assert.equal(found.maskThreshold, file.postprocess.mask_threshold);
  assert.equal(found.padValue, file.preprocess.pad.value);
  assert.equal(found.masksPerPrompt, file.postprocess.masks_per_prompt);
  assert.equal(found.isStandIn, true);
});

test('artifacts are found by runtime and recipe, and what is missing is said with what there is', () => {
  const found = manifest();
  assert.deepEqual(found.recipes('tflite'), ['fp32']);
  const { encoder, decoder } = found.artifactsOf('tflite', 'fp32');
  assert.equal(encoder.path, 'tflite/fp32/encoder.tflite');
  assert.equal(entryPointOf(decoder, 'decode_batch'), 'decode_batch');
  assert.throws(() => entryPointOf(decoder, 'encode'), ManifestError);
  assert.throws(() => entryPointOf(decoder, 'constructor'), ManifestError);
  assert.throws(() => found.artifactsOf('tflite', 'fp16'), /only coreml fp16 encoder/);
});

/** @type {[string, (file: any) => void, RegExp][]} */
const DAMAGES = [
  ['another schema', (m) => (m.schema_version = 2), /schema version 2/],
  ['a size that is no number', (m) => (m.sizes.slots = '8'), /'slots' must be a number/],
  ['a size of zero', (m) => (m.sizes.batch = 0), /'batch' must be at least 1/],
  ['a side that no phone holds', (m) => (m.sizes.image_size = 2 ** 20), /'image_size' must be at most/],
  ['masks larger than the frame', (m) => (m.sizes.mask_size = 256), /'mask_size' must be at most image_size/],
  ['another colour order', (m) => (m.preprocess.colour = 'BGR'), /'colour' must be "RGB"/],
  ['normalisation outside', (m) => (m.preprocess.normalised_by = 'app'), /'normalised_by'/],
  ['another range', (m) => (m.preprocess.value_range = [0, 1]), /'value_range'/],
  ['a resize that does not fit', (m) => (m.preprocess.resize.long_side = 64), /'long_side' must be 128/],
  ['another padding', (m) => (m.preprocess.pad.where = 'centred'), /'where'/],
  ['another shift', (m) => (m.prompts.point_shift_applied_by = 'app'), /'point_shift_applied_by'/],
  [
    'a resize that no one knows',
    (m) => (m.rules.resize = 'mirror'),
    /'resize' must be one of longest_side, stretch/,
  ],
  [
    'a choice that no one knows',
    (m) => (m.rules.selection = 'first'),
    /'selection' must be one of predicted_iou/,
  ],
  ['no masks', (m) => (m.rules.num_masks = 0), /'num_masks' must be 1 to 4/],
  ['another number of masks', (m) => (m.rules.num_masks = 4), /'outputs'/],
  ['more points than slots', (m) => (m.rules.fixed_points = 9), /'slots' must be 9 or more/],
  ['cubic masks over the frame', (m) => (m.rules.upscale_filter = 'bicubic'), /'upscale_filter' must be/],
  ['whole values without antialiasing', (m) => (m.rules.antialias = false), /'antialias' must be true/],
  ['mask prompts that no one takes', (m) => (m.rules.mask_prompts = false), /'decode'.*'inputs'/],
  ['no rules', (m) => delete m.rules, /'rules' must be there/],
  [
    'an embedding of another shape',
    (m) => (m.entry_points.encode.outputs[0].shape[1] = 3),
    /'encode'.*'outputs'/,
  ],
  ['inputs in another order', (m) => m.entry_points.decode.inputs.reverse(), /'decode'.*'inputs'/],
  ['outputs of another shape', (m) => (m.entry_points.decode_batch.outputs[0].shape[0] = 4), /'outputs'/],
  ['a missing entry point', (m) => delete m.entry_points.encode, /'encode' must be there/],
  ['an offset of three', (m) => m.everything_search.offsets.push([1, 2, 3]), /'offsets'/],
  ['a hash that is none', (m) => (m.artifacts[0].sha256 = 'abc'), /'sha256'/],
  ['a path that leads out', (m) => (m.artifacts[0].path = '../x'), /'path' must be a path inside/],
  ['an absolute path', (m) => (m.artifacts[0].path = '/etc/passwd'), /'path'/],
  ['artifacts that are no list', (m) => (m.artifacts = {}), /'artifacts' must be a list/],
];

for (const [name, damage, message] of DAMAGES) {
  test(`refused: ${name}`, () => {
    const file = raw();
    damage(file);
    assert.throws(
      () => parseManifest(JSON.stringify(file)),
      (error) => {
        assert.ok(error instanceof ManifestError);
        assert.match(error.message, message);
        return true;
      },
    );
  });
}

test('refused: no JSON, and JSON that is no object', () => {
  assert.throws(() => parseManifest('{'), ManifestError);
  assert.throws(() => parseManifest('[]'), /must be an object/);
});
