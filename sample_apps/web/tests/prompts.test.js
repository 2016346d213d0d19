/** Packing of prompts into the decoder's slots. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PromptError } from '../core/Errors.js';
import { Geometry } from '../core/Geometry.js';
import { Prompt, packPrompts } from '../core/Prompts.js';
import { manifest, rulesOf, testCases } from './fixtures.js';

const { labels } = manifest();

testCases('slots', samePacking);
testCases('rules_slots', samePacking);

/** @param {import('./fixtures.js').Case} item */
function samePacking(item) {
  const pack = () => {
    const geometry = Geometry.of(item.height, item.width, item.image_size, rulesOf(item));
    const prompts = item.prompts.map((/** @type {any} */ raw) => {
      const prompt = Prompt.of(raw.points, raw.labels, raw.box, labels);
      prompt.requireContent(raw.has_mask_input);
      return prompt;
    });
    return packPrompts(prompts, geometry, labels, item.slots, item.batch);
  };
  if (item.error) {
    assert.throws(pack, (error) => error instanceof PromptError && error.fault === item.error);
    return;
  }
  const packed = pack();
  assert.deepEqual([...packed.coords], item.point_coords);
  assert.deepEqual([...packed.labels], item.point_labels);
}

test('coordinates that are no numbers are refused before anything is packed', () => {
  for (const x of [Number.NaN, Infinity]) {
    const make = () => new Prompt([{ x, y: 0, isOnObject: true }]);
    assert.throws(make, (error) => error instanceof PromptError && error.fault === 'not_finite');
  }
});

test('more prompts than a batch holds are a mistake of the caller', () => {
  const prompt = new Prompt([{ x: 1, y: 1, isOnObject: true }]);
  assert.throws(() => packPrompts([prompt, prompt], Geometry.of(4, 4, 8), labels, 8, 1), RangeError);
});
