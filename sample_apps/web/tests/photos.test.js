/** From a photo to the S frame: geometry, Pillow's resize, orientation. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ImageError } from '../core/Errors.js';
import { Geometry } from '../core/Geometry.js';
import { upright } from '../core/Orientation.js';
import { preprocess } from '../core/Preprocess.js';
import { resizePhoto } from '../core/Resampling.js';
import { RgbImage } from '../core/RgbImage.js';
import { SAM_RULES } from '../core/Rules.js';
import { float32, manifest, rulesOf, testCases, uint8 } from './fixtures.js';

testCases('geometry', (item) => {
  const geometry = Geometry.of(item.height, item.width, item.image_size);
  assert.deepEqual([geometry.validHeight, geometry.validWidth], [item.valid_height, item.valid_width]);
  item.points.forEach((/** @type {number} */ value, /** @type {number} */ i) => {
    const model = i % 2 === 0 ? geometry.toModelX(value) : geometry.toModelY(value);
    const back = i % 2 === 0 ? geometry.toPhotoX(model) : geometry.toPhotoY(model);
    assert.deepEqual([model, back], [item.model_points[i], item.round_trip[i]]);
  });
});

/** @param {import('./fixtures.js').TensorFile} tensor */
function photoOf(tensor) {
  const [height, width, channels] = tensor.shape;
  return channels
    ? new RgbImage(height, width, uint8(tensor))
    : RgbImage.ofGrey(height, width, uint8(tensor));
}

testCases('resize', (item) => {
  const photo = photoOf(item.pixels);
  const { validHeight, validWidth } = Geometry.of(photo.height, photo.width, item.image_size);
  const resized = resizePhoto(photo, validHeight, validWidth, SAM_RULES);
  assert.deepEqual([resized.height, resized.width], item.resized.shape.slice(0, 2));
  assert.deepEqual(resized.samples, uint8(item.resized));
  if (!item.square) return;
  const rules = manifest();
  rules.sizes.imageSize = item.image_size;
  const { image } = preprocess(photo, rules);
  assert.deepEqual(Uint8Array.from(image), uint8(item.square));
});

testCases('rules_geometry', (item) => {
  const geometry = Geometry.of(item.height, item.width, item.image_size, rulesOf(item));
  assert.deepEqual([geometry.validHeight, geometry.validWidth], [item.valid_height, item.valid_width]);
  item.points.forEach((/** @type {number} */ value, /** @type {number} */ i) => {
    const model = i % 2 === 0 ? geometry.toModelX(value) : geometry.toModelY(value);
    const back = i % 2 === 0 ? geometry.toPhotoX(model) : geometry.toPhotoY(model);
    assert.equal(model, item.model_points[i]);
    assert.ok(Math.abs(back - value) < 1e-9);
  });
});

/** Of values to 255: float32 sums in another order (docs/app_fixtures.md). */
const FLOAT_STEPS = 1e-3;

testCases('rules_resize', (item) => {
  const photo = photoOf(item.pixels);
  const rules = rulesOf(item);
  const { validHeight, validWidth } = Geometry.of(item.height, item.width, item.image_size, rules);
  const { height, width, samples } = resizePhoto(photo, validHeight, validWidth, rules);
  assert.deepEqual([height, width], item.resized.shape.slice(0, 2));
  if (rules.wholeValues) return assert.deepEqual(samples, uint8(item.resized));
  float32(item.resized).forEach((wanted, i) => assert.ok(Math.abs(samples[i] - wanted) <= FLOAT_STEPS));
});

testCases('orientation', (item) => {
  const turned = upright(photoOf(item.pixels), item.orientation);
  assert.deepEqual([turned.height, turned.width], item.upright.shape.slice(0, 2));
  assert.deepEqual(turned.samples, uint8(item.upright));
});

test('a canvas loses its fourth channel and nothing else', () => {
  const photo = RgbImage.ofRgba(1, 2, Uint8ClampedArray.of(1, 2, 3, 255, 4, 5, 6, 0));
  assert.deepEqual([...photo.samples], [1, 2, 3, 4, 5, 6]);
});

test('a photo without pixels, or with too few, is refused', () => {
  assert.throws(() => new RgbImage(0, 3, new Uint8Array(0)), ImageError);
  assert.throws(() => new RgbImage(2, 2, new Uint8Array(11)), /takes 12 bytes, not 11/);
  assert.throws(() => Geometry.of(0, 5, 64), ImageError);
  assert.throws(() => Geometry.of(Number.NaN, 5, 64), ImageError);
});
