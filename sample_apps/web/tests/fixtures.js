/** The files of tests/golden/apps (docs/app_fixtures.md): one behaviour, written once as data. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

import { JsonFields } from '../core/JsonFields.js';
import { parseManifest } from '../core/ManifestReader.js';
import { SAM_RULES, readRules } from '../core/Rules.js';

/** @typedef {{file: string, dtype: string, shape: number[]}} TensorFile */
/** @typedef {Record<string, any> & {name: string}} Case */

const FOLDER = ['tests', 'golden', 'apps'];
const LAYOUT_VERSION = 1;

/** The nearest folder above that has the fixtures. */
export const ROOT = (() => {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, ...FOLDER))) {
    if (folder === dirname(folder)) throw new Error('no folder above has tests/golden/apps');
    folder = dirname(folder);
  }
  return join(folder, ...FOLDER);
})();

/** @param {string} path */
export function readFixture(path) {
  return readFileSync(join(ROOT, path));
}

/** @param {string} topic @returns {Case[]} */
export function casesOf(topic) {
  const { layout_version: version, cases } = JSON.parse(readFixture(`${topic}.json`).toString());
  if (version !== LAYOUT_VERSION || cases.length === 0) throw new Error(`${topic}.json: layout ${version}`);
  return cases;
}

/** The rules of a case, SAM's where it has none. @param {Case} item */
export function rulesOf(item) {
  return item.rules ? readRules(new JsonFields(item.rules, item.name, Error)) : SAM_RULES;
}

export function manifest() {
  return parseManifest(readFixture('manifest.json').toString());
}

/** One test per case of a topic. @param {string} topic @param {(item: Case) => void | Promise<void>} check */
export function testCases(topic, check) {
  for (const item of casesOf(topic)) test(`${topic}: ${item.name}`, () => check(item));
}

/** @param {TensorFile} tensor @param {string} dtype */
function bytesOf(tensor, dtype) {
  if (tensor.dtype !== dtype) throw new Error(`${tensor.file} is ${tensor.dtype}, not ${dtype}`);
  return Uint8Array.from(readFixture(tensor.file));
}

/** @param {TensorFile} tensor */
export function uint8(tensor) {
  return bytesOf(tensor, 'uint8');
}

/** @param {TensorFile} tensor */
export function int8(tensor) {
  return new Int8Array(bytesOf(tensor, 'int8').buffer);
}

/** @param {TensorFile} tensor */
export function float32(tensor) {
  return new Float32Array(bytesOf(tensor, 'float32').buffer);
}
