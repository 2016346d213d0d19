/** Masks: full size, run lengths, stability, small regions, overlaps, label maps. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { EMPTY_BOX, byFallingScore, suppressOverlaps } from '../core/Box.js';
import { RunLengthError, SettingsError } from '../core/Errors.js';
import { Geometry } from '../core/Geometry.js';
import { LabelMap } from '../core/LabelMap.js';
import { Mask } from '../core/Mask.js';
import { MaskUpscaler } from '../core/MaskUpscaler.js';
import { objectColour, paintOverlay } from '../core/Overlay.js';
import { bestOf, selectionScores } from '../core/Predictor.js';
import { RunLengths } from '../core/RunLengths.js';
import { removeSmallRegions } from '../core/SmallRegions.js';
import { stabilityScore } from '../core/Stability.js';
import { float32, manifest, rulesOf, testCases, uint8 } from './fixtures.js';

const DECLARED_TIE = 2;

testCases('postprocess', sameMasks);
testCases('rules_postprocess', sameMasks);

/** @param {import('./fixtures.js').Case} item */
function sameMasks(item) {
  const { maskThreshold } = manifest();
  const [masks, side] = item.low_res.shape;
  const logits = float32(item.low_res);
  const expected = uint8(item.masks);
  const upscaler = new MaskUpscaler(
    Geometry.of(item.height, item.width, item.image_size, rulesOf(item)),
    side,
    maskThreshold,
  );
  const all = Array.from({ length: masks }, (_, i) =>
    logits.subarray(i * side * side, (i + 1) * side * side),
  );
  assert.equal(bestOf(selectionScores(all, Float32Array.from(item.scores), rulesOf(item))), item.best);
  const area = item.height * item.width;
  for (let i = 0; i < masks; i++) {
    const lowRes = all[i];
    const { pixels } = upscaler.mask(lowRes);
    for (let place = 0; place < area; place++) {
      const wanted = expected[i * area + place];
      if (wanted !== DECLARED_TIE && wanted !== pixels[place])
        assert.fail(`mask ${i} differs at pixel ${place}`);
    }
    sameLogitsOneByOne(upscaler, lowRes, item);
  }
}

/**
 * `logitAt` is the row's value to the bit.
 * @param {MaskUpscaler} upscaler @param {Float32Array} lowRes @param {any} item
 */
function sameLogitsOneByOne(upscaler, lowRes, item) {
  const window = { rows: { start: 0, end: item.height }, columns: { start: 0, end: item.width } };
  const step = Math.max(1, Math.floor(item.width / 7));
  upscaler.forEachRow(lowRes, window, (y, row) => {
    for (let x = 0; x < item.width; x += step) assert.equal(upscaler.logitAt(lowRes, x, y), row[x]);
  });
}

testCases('rle', (item) => {
  if (item.error) {
    const read = () => RunLengths.fromCoco(item.height, item.width, item.compressed);
    assert.throws(read, (error) => error instanceof RunLengthError && error.fault === item.error);
    return;
  }
  const runs = RunLengths.fromCoco(item.height, item.width, item.compressed);
  assert.deepEqual([...runs.counts], item.counts);
  assert.deepEqual(RunLengths.fromCounts(item.height, item.width, item.counts).toCoco(), {
    size: [item.height, item.width],
    counts: item.compressed,
  });
  assert.equal(runs.area, item.area);
  if (item.box) assert.deepEqual(Object.values(runs.box), item.box);
  if (!item.mask) return;
  const mask = new Mask(item.height, item.width, uint8(item.mask));
  assert.deepEqual([...RunLengths.encode(mask).counts], item.counts);
  assert.deepEqual(runs.decode().pixels, mask.pixels);
  assert.equal(mask.area, item.area);
});

testCases('stability', (item) => {
  assert.equal(stabilityScore(float32(item.logits), item.threshold, item.offset), item.stability);
});

testCases('small_regions', (item) => {
  const [height, width] = item.mask.shape;
  const { mask, changed } = removeSmallRegions(
    new Mask(height, width, uint8(item.mask)),
    item.area,
    item.mode,
  );
  assert.deepEqual(mask.pixels, uint8(item.cleaned));
  assert.equal(changed, item.changed);
});

testCases('nms', (item) => {
  const kept = suppressOverlaps(
    Float32Array.from(item.boxes),
    Float32Array.from(item.scores),
    item.iou_threshold,
  );
  assert.deepEqual(kept, item.kept);
});

test('a logit at the threshold is outside the mask', () => {
  const upscaler = new MaskUpscaler(Geometry.of(6, 8, 16), 4, 0.25);
  assert.equal(upscaler.mask(new Float32Array(16).fill(0.25)).area, 0);
  assert.equal(upscaler.mask(new Float32Array(16).fill(0.2500001)).area, 48);
});

test('of equal scores the earlier comes first, and what is no score last', () => {
  assert.deepEqual(byFallingScore([0.5, Number.NaN, 0.9, 0.5, -0, 0]), [2, 0, 3, 4, 5, 1]);
});

test('a score that is not a number is shown and not hidden', () => {
  assert.equal(bestOf(Float32Array.of(0.9, Number.NaN, 0.2)), 1);
});

test('an empty mask has an empty box, and a mask of another length is refused', () => {
  assert.equal(RunLengths.encode(new Mask(3, 4, new Uint8Array(12))).box, EMPTY_BOX);
  assert.throws(() => new Mask(3, 4, new Uint8Array(11)), /takes 12 bytes, not 11/);
});

/** Object of a mask drawn as text. @param {string[]} rows @param {number} score */
function drawn(rows, score) {
  const pixels = Uint8Array.from(rows.join(''), (character) => (character === '#' ? 1 : 0));
  return { runs: RunLengths.encode(new Mask(rows.length, rows[0].length, pixels)), score };
}

test('a pixel belongs to the smallest object over it, of equal ones to the better', () => {
  const objects = [drawn(['####', '####'], 0.9), drawn(['##..', '....'], 0.5), drawn(['.##.', '....'], 0.8)];
  assert.deepEqual([...LabelMap.of(objects, 2, 4).labels], [2, 3, 3, 1, 1, 1, 1, 1]);
  const many = Array.from({ length: 2 ** 16 }, () => objects[0]);
  assert.throws(() => LabelMap.of(many, 2, 4), SettingsError);
});

test('an overlay colours objects, draws a line around them and leaves the rest', () => {
  const pixels = new Uint8ClampedArray(3 * 3 * 4).fill(100);
  paintOverlay(pixels, LabelMap.of([drawn(['##.', '##.', '...'], 1)], 3, 3));
  const [red, green, blue] = objectColour(0).map((value) => Math.floor((100 + value) / 2));
  assert.deepEqual([...pixels.slice(0, 3)], [red, green, blue]);
  assert.deepEqual([...pixels.slice(4, 8)], [255, 255, 255, 100], 'the edge');
  assert.deepEqual([...pixels.slice(8, 12)], [100, 100, 100, 100], 'outside');
});

test('neighbours in the list have different colours', () => {
  const colours = Array.from({ length: 30 }, (_, i) => objectColour(i).join());
  assert.equal(new Set(colours).size, 30);
});
