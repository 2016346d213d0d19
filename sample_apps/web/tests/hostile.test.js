/** Manifests of strangers: read, or refused with the library's own error, and nothing else. */
import assert from 'node:assert/strict';

import { ManifestError } from '../core/Errors.js';
import { parseManifest } from '../core/ManifestReader.js';
import { readFixture, testCases } from './fixtures.js';

const TEXT = readFixture('manifest.json').toString();

testCases('hostile', ({ at, drop, put, repeat, refused }) => {
  const text = TEXT.slice(0, at) + put.repeat(repeat) + TEXT.slice(at + drop);
  if (refused) {
    assert.throws(() => parseManifest(text), ManifestError);
    return;
  }
  try {
    parseManifest(text);
  } catch (error) {
    assert.ok(error instanceof ManifestError, String(error));
  }
});
