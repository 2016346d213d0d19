/** Fixtures, recordings and the dump's zip. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { RecordingError } from '../core/Errors.js';
import { Predictor } from '../core/Predictor.js';
import { DumpWriter, Latencies } from '../core/replay/DumpWriter.js';
import { FixtureSet } from '../core/replay/FixtureSet.js';
import { RecordedEngine } from '../core/replay/RecordedEngine.js';
import { Replay, slotRows } from '../core/replay/Replay.js';
import { ZipWriter, crc32 } from '../core/replay/Zip.js';
import { preprocess } from '../core/Preprocess.js';
import { packPrompts } from '../core/Prompts.js';
import { Contract } from '../core/Manifest.js';
import { manifest } from './fixtures.js';

const rules = manifest();
const { imageSize, maskSize, channels, gridSize, slots, batch, scoreBatch } = rules.sizes;

/** Sizes as an index names them. */
const SIZES = {
  ...{
    image_size: imageSize,
    grid_size: gridSize,
    mask_size: maskSize,
    channels,
    slots,
    batch,
    score_batch: scoreBatch,
  },
};
const PROMPTS = [
  { points: [3, 4], labels: [1], box: null, has_mask_input: false, spare_xy: 7 },
  { points: [1, 1], labels: [0], box: [0, 0, 9, 6], has_mask_input: true, spare_xy: 0 },
  { points: [], labels: [], box: [1, 1, 5, 5], has_mask_input: false, spare_xy: -3 },
];
const PHOTO = { title: 'noise', height: 7, width: 10, prompts: PROMPTS };

/** Bytes of float32. @param {Float32Array} values */
const bytes = (values) => new Uint8Array(values.slice().buffer);

/** Numbers that differ from place to place. @param {number} count @param {number} seed */
const noise = (count, seed) => Float32Array.from({ length: count }, (_, i) => Math.sin(seed + i * 1.7) * 5);

/** A folder of fixtures in memory: its float model answers noise, a different one to each prompt. */
async function world() {
  /** @type {Map<string, Uint8Array>} */
  const files = new Map();
  const index = { layout_version: 1, id: 'f'.repeat(64), sizes: SIZES, photos: [PHOTO] };
  files.set('fixtures.json', new TextEncoder().encode(JSON.stringify(index)));
  files.set(
    'photo_0/pixels.bin',
    Uint8Array.from({ length: 7 * 10 * 3 }, (_, i) => (i * 37) % 256),
  );
  files.set('photo_0/prompt_1/mask_input.bin', bytes(noise(maskSize ** 2, 99)));
  const set = await FixtureSet.read(treeOf(files), rules.labels);
  const { image, geometry } = preprocess(await set.pixels(set.photos[0]), rules);
  files.set('photo_0/preprocessed_image.bin', bytes(image));
  files.set('photo_0/embedding.bin', bytes(noise(channels * gridSize ** 2, 5)));
  set.photos[0].prompts.forEach(({ name, prompt, spareXy }, i) => {
    const packed = packPrompts([prompt], geometry, rules.labels, slots, 1);
    packed.labels.forEach(
      (label, slot) => label === rules.labels.unused && packed.set(slot, spareXy, spareXy, label),
    );
    files.set(`${name}/packed_prompt.bin`, bytes(slotRows(packed, 0)));
    files.set(`${name}/low_res_logits.bin`, bytes(noise(3 * maskSize ** 2, i)));
    files.set(`${name}/predicted_iou.bin`, bytes(Float32Array.of(0.2, 0.3 + i / 10, 0.1)));
  });
  return { files, set: await FixtureSet.read(treeOf(files), rules.labels) };
}

/** @param {Map<string, Uint8Array>} files @returns {import('../core/replay/FileTree.js').FileTree} */
const treeOf = (files) => async (path) => {
  const found = files.get(path);
  if (!found) throw new RecordingError(`${path} cannot be read`);
  return found;
};

/** @param {FixtureSet} set */
function replayOf(set) {
  const dump = new DumpWriter();
  return { dump, replay: new Replay(new Predictor(new RecordedEngine(set, rules), rules), set, dump) };
}

test('a replay answers every prompt through both entry points and keeps every step', async () => {
  const { set } = await world();
  const { dump, replay } = replayOf(set);
  /** @type {number[][]} */
  const told = [];
  await replay.run((done, total) => void told.push([done, total]));
  assert.deepEqual(told, [
    [1, 3],
    [2, 3],
    [3, 3],
  ]);
  const names = dump.tensors.map(({ name }) => name).sort();
  const steps = ['chosen_mask', 'full_size_mask', 'low_res_logits', 'packed_prompt', 'predicted_iou'];
  const expected = [0, 1, 2].flatMap((i) => steps.map((step) => `photo_0/prompt_${i}/${step}`));
  assert.deepEqual(names, ['photo_0/embedding', 'photo_0/preprocessed_image', ...expected].sort());
  const { encode, decode, decode_batch: batched, postprocess, preprocess: first } = replay.latencies.byStep;
  assert.deepEqual(
    [encode, decode, batched, postprocess, first].map(({ length }) => length),
    [1, 2, 1, 3, 1],
  );
});

test('fixtures of another model are refused before anything is replayed', async () => {
  const { files } = await world();
  const index = JSON.parse(new TextDecoder().decode(files.get('fixtures.json')));
  index.sizes.slots = 5;
  files.set('fixtures.json', new TextEncoder().encode(JSON.stringify(index)));
  const { replay } = replayOf(await FixtureSet.read(treeOf(files), rules.labels));
  await assert.rejects(replay.run(), /belong to a model of/);
});

test('another layout, a cut file and a missing one are named', async () => {
  const { files, set } = await world();
  files.set('photo_0/pixels.bin', new Uint8Array(3));
  await assert.rejects(set.pixels(set.photos[0]), /photo_0\/pixels.bin has 3 bytes, but its shape takes 210/);
  files.delete('photo_0/prompt_1/mask_input.bin');
  await assert.rejects(set.maskInput(set.photos[0].prompts[1]), RecordingError);
  files.set('fixtures.json', new TextEncoder().encode('{"layout_version": 2}'));
  await assert.rejects(FixtureSet.read(treeOf(files), rules.labels), /layout version 2/);
});

test('a recording knows a photo by its pixels and a prompt by its slots and its mask', async () => {
  const { set } = await world();
  const engine = new RecordedEngine(set, rules);
  const { image, geometry } = preprocess(await set.pixels(set.photos[0]), rules);
  const features = await engine.encode({ image, geometry });
  assert.equal(features.values[Contract.IMAGE_EMBEDDINGS].length, channels * gridSize ** 2);
  image[0] += 1;
  await assert.rejects(engine.encode({ image, geometry }), /no photo with these preprocessed pixels/);
  const { prompt } = set.photos[0].prompts[1];
  const packed = packPrompts([prompt], geometry, rules.labels, slots, 1);
  await assert.rejects(engine.decode(features, packed, null), /no recorded prompt/);
  const mask = await set.maskInput(set.photos[0].prompts[1]);
  assert.equal((await engine.decode(features, packed, mask)).scores(0)[1], Math.fround(0.4));
  await assert.rejects(engine.decode({ values: {} }, packed, mask), /no such features/);
});

test('CRC-32 is the one of zip files', () => {
  // The check value of CRC-32/ISO-HDLC.
  assert.equal(crc32(new TextEncoder().encode('123456789')), 0xcbf43926);
  assert.equal(crc32(new Uint8Array(0)), 0);
});

test('a zip has its directory at the end and says how long it is', async () => {
  const zip = new ZipWriter();
  zip.add('a/b.bin', Uint8Array.of(1, 2, 3));
  zip.add('empty', new Uint8Array(0));
  const data = new DataView(await zip.finish().arrayBuffer());
  const end = data.byteLength - 22;
  assert.equal(data.getUint32(end, true), 0x06054b50);
  assert.equal(data.getUint16(end + 10, true), 2);
  const directory = data.getUint32(end + 16, true);
  assert.equal(data.getUint32(directory, true), 0x02014b50);
  assert.equal(directory + data.getUint32(end + 12, true), end);
});

test('a dump names the device in plain text and keeps what is not known as null', async () => {
  const dump = new DumpWriter();
  dump.writeInteger('photo_0/prompt_0/chosen_mask', 2);
  const run = {
    runtime: 'tflite',
    recipe: 'fp32',
    computeUnit: 'x'.repeat(300),
    artifactSha256: {},
    threads: null,
    loadMs: null,
    runtimeVersion: '2.5.3',
    peakMemoryBytes: null,
  };
  const latencies = new Latencies();
  await latencies.measure('encode', () => 1);
  const blob = dump.finish('id', { model: 'Ä phone\n', os: '', appVersion: '1' }, run, latencies);
  const text = await blob.text();
  const index = JSON.parse(text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1));
  assert.deepEqual(index.device, { model: '? phone?', os: 'unknown', app_version: '1' });
  assert.equal(index.run.compute_unit.length, 200);
  assert.equal(index.run.threads, null);
  assert.equal(index.run.runtime_version, '2.5.3');
  assert.equal(index.latency_ms.encode.length, 1);
});
