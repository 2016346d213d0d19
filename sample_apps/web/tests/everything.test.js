/** Everything mode on recorded answers: points, order, survivors, budgets. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SettingsError } from '../core/Errors.js';
import { EverythingGenerator } from '../core/Everything.js';
import { everythingSettings } from '../core/EverythingSettings.js';
import { objectsFromBoxes } from '../core/FromBoxes.js';
import { Geometry } from '../core/Geometry.js';
import { JsonFields } from '../core/JsonFields.js';
import { readFastSearch } from '../core/ManifestReader.js';
import { roundToHalf } from '../core/HalfFloat.js';
import { PointLattice } from '../core/PointLattice.js';
import { Predictor } from '../core/Predictor.js';
import { RecordedClicks } from '../core/replay/RecordedClicks.js';
import { casesOf, float32, int8, manifest, testCases, uint8 } from './fixtures.js';

/** @param {{x: number, y: number}[]} points */
function flat(points) {
  return points.flatMap(({ x, y }) => [x, y]);
}

testCases('lattice', (item) => {
  const { search } = manifest();
  const lattice = new PointLattice(item.height, item.width);
  const side = item.points_per_side;
  /** @type {Record<string, () => {x: number, y: number}[]>} */
  const kinds = {
    flat: () => lattice.grid(side),
    coarse: () => lattice.coarse(side, search),
    second_round: () => lattice.secondRound(side, search),
  };
  const points = kinds[item.kind]();
  assert.deepEqual(flat(points), item.points);
  if (!item.done) return;
  const done = uint8(item.done);
  const left = points.filter(({ x, y }) => !done[Math.trunc(y) * item.width + Math.trunc(x)]);
  assert.deepEqual(flat(left), item.left);
});

/** @param {Record<string, any>} item @param {'exact' | 'fast'} mode @param {boolean} [scoring] */
function worldOf(item, mode, scoring = true) {
  const rules = manifest();
  const steps = int8(item.logits);
  const engine = new RecordedClicks(
    rules,
    float32(item.recorded_points),
    item.answers,
    Float32Array.from(steps, (step) => step * item.scale),
    float32(item.recorded_scores),
    scoring ? (item.score_error ?? null) : null,
  );
  const { settings: s } = item;
  const settings = everythingSettings(rules, {
    mode,
    hierarchical: s.hierarchical,
    pointsPerSide: s.points_per_side,
    predIouThresh: s.pred_iou_thresh,
    stabilityScoreThresh: s.stability_score_thresh,
    stabilityScoreOffset: s.stability_score_offset,
    highScoreThresh: s.high_score_thresh,
    boxNmsThresh: s.box_nms_thresh,
    cropNmsThresh: s.crop_nms_thresh ?? rules.search.cropNmsThresh,
    minRegionArea: s.min_region_area,
    maxDecoderCalls: s.max_decoder_calls,
  });
  if (item.rules) rules.search.fast = readFastSearch(new JsonFields(item.rules, item.name, Error));
  const geometry = Geometry.of(item.height, item.width, rules.sizes.imageSize);
  return { predictor: new Predictor(engine, rules), settings, photo: { features: { values: {} }, geometry } };
}

/**
 * @param {Record<string, any>} item @param {'exact' | 'fast'} mode @param {number} decoderCalls
 * @param {number} scoreCalls @param {boolean} [scoring]
 */
async function same(item, mode, decoderCalls, scoreCalls, scoring = true) {
  const { predictor, settings, photo } = worldOf(item, mode, scoring);
  const result = await new EverythingGenerator(predictor, settings).generate(photo);
  assert.deepEqual(flat(result.visited), item.visited);
  assert.deepEqual([result.decoderCalls, result.scoreCalls], [decoderCalls, scoreCalls]);
  assert.equal(result.end, item.stopped_early ? 'budget' : 'complete');
  assert.deepEqual(dataOf(result.objects), item.objects);
}

/** Objects as a case holds them. @param {import('../core/Candidates.js').SegmentedObject[]} objects */
function dataOf(objects) {
  return objects.map(({ point, maskIndex, score, stability, box, runs }) => ({
    point: [point.x, point.y],
    mask_index: maskIndex,
    score,
    stability,
    box: Object.values(box),
    counts: [...runs.counts],
  }));
}

testCases('everything', (item) => same(item, 'exact', item.decoder_calls, 0));
testCases('everything_fast', (item) => same(item, 'fast', item.decoder_calls, item.score_calls));
// An artifact without score_batch, of which more is decoded; where nothing else depends on that.
testCases('everything_fast', async (item) => {
  const calls = item.decoder_calls_without_scores;
  if (calls !== null) await same(item, 'fast', calls, 0, false);
});

testCases('from_boxes', async (item) => {
  const rules = manifest();
  const corners = Float32Array.from(item.recorded_boxes);
  const engine = new RecordedClicks(
    rules,
    // Slot 0 of a box is its top left.
    corners.filter((_, i) => i % 4 < 2),
    item.answers,
    Float32Array.from(int8(item.logits), (step) => step * item.scale),
    Float32Array.from(item.recorded_scores),
  );
  const geometry = Geometry.of(item.height, item.width, rules.sizes.imageSize);
  const photo = { features: { values: {} }, geometry };
  const boxes = Array.from({ length: item.boxes.length / 4 }, (_, i) => {
    const [x0, y0, x1, y1] = item.boxes.slice(4 * i, 4 * i + 4);
    return { x0, y0, x1, y1 };
  });
  const found = await objectsFromBoxes(new Predictor(engine, rules), photo, boxes);
  assert.deepEqual(dataOf(found), item.objects);
});

test('a search tells how far it is, and what is cancelled keeps what was found', async () => {
  const item = casesOf('everything').find(({ name }) => name === 'hierarchical_landscape');
  assert.ok(item);
  const { predictor, settings, photo } = worldOf(item, 'exact');
  /** @type {import('../core/Everything.js').SearchProgress[]} */
  const told = [];
  const generator = new EverythingGenerator(predictor, settings, {
    progress: (progress) => void told.push(progress),
    isCancelled: () => told.length === 2,
  });
  const result = await generator.generate(photo);
  assert.equal(result.end, 'cancelled');
  assert.equal(result.decoderCalls, 2);
  assert.equal(told[0].total, 16);
  assert.equal(told[0].decoded, 16);
  assert.ok(told[1].found >= told[0].found);
});

test('a time budget of nothing ends before the first call', async () => {
  const { predictor, settings, photo } = worldOf(casesOf('everything')[0], 'fast');
  const result = await new EverythingGenerator(predictor, { ...settings, budgetMs: 0 }).generate(photo);
  assert.deepEqual([result.end, result.decoderCalls, result.objects], ['budget', 0, []]);
});

test('a grid that is too small for two rounds is refused', () => {
  const { predictor, settings } = worldOf(casesOf('everything')[0], 'exact');
  const make = () => new EverythingGenerator(predictor, { ...settings, pointsPerSide: 3 });
  assert.throws(make, SettingsError);
});

const HALF_SIGN = 0x8000;
const HALF_EXPONENT_BIAS = 15;

/** The value of a float16's bits. @param {number} bits */
function halfOf(bits) {
  const exponent = (bits >> 10) & 31;
  const fraction = (bits & 1023) / 1024;
  const size =
    exponent === 31
      ? Infinity
      : exponent
        ? (1 + fraction) * 2 ** (exponent - HALF_EXPONENT_BIAS)
        : fraction * 2 ** (1 - HALF_EXPONENT_BIAS);
  return bits & HALF_SIGN ? -size : size;
}

testCases('half', ({ values, halves }) => {
  values.forEach((/** @type {number} */ value, /** @type {number} */ i) => {
    assert.equal(roundToHalf(Math.fround(value)), halfOf(halves[i]), `${value}`);
  });
});
