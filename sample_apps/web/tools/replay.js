/**
 * Replays fixtures on a recording of the float model and writes the dump: every step of an app but the model.
 *
 *   node tools/replay.js FIXTURES MANIFEST DUMP
 */
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { arch, platform, release } from 'node:os';
import { join } from 'node:path';

import { RecordingError, TinySamError } from '../core/Errors.js';
import { parseManifest } from '../core/ManifestReader.js';
import { Predictor } from '../core/Predictor.js';
import { DumpWriter } from '../core/replay/DumpWriter.js';
import { FixtureSet } from '../core/replay/FixtureSet.js';
import { RecordedEngine } from '../core/replay/RecordedEngine.js';
import { Replay } from '../core/replay/Replay.js';
import { APP_VERSION } from '../app/device.js';

/** @param {string} folder @returns {import('../core/replay/FileTree.js').FileTree} */
function filesIn(folder) {
  return async (path) => {
    try {
      return Uint8Array.from(await readFile(join(folder, path)));
    } catch (error) {
      throw new RecordingError(`${path} cannot be read: ${/** @type {Error} */ (error).message}`);
    }
  };
}

/** @param {string} folder @param {string} manifestPath @param {string} target */
async function replay(folder, manifestPath, target) {
  const manifest = parseManifest(await readFile(manifestPath, 'utf8'));
  const fixtures = await FixtureSet.read(filesIn(folder), manifest.labels);
  const dump = new DumpWriter();
  const run = new Replay(new Predictor(new RecordedEngine(fixtures, manifest), manifest), fixtures, dump);
  await run.run();
  const [recipe] = manifest.recipes('tflite');
  const { encoder, decoder } = manifest.artifactsOf('tflite', recipe);
  const blob = dump.finish(
    fixtures.id,
    { model: `Node ${arch()}`, os: `${platform()} ${release()}`, appVersion: APP_VERSION },
    {
      ...{
        runtime: 'tflite',
        recipe,
        computeUnit: 'recording',
        threads: 1,
        runtimeVersion: null,
        loadMs: null,
        peakMemoryBytes: null,
      },
      artifactSha256: { encoder: encoder.sha256, decoder: decoder.sha256 },
    },
    run.latencies,
  );
  // The file has its name when it is whole, and not before.
  await writeFile(`${target}.partial`, new Uint8Array(await blob.arrayBuffer()));
  await rename(`${target}.partial`, target).catch(() => rm(`${target}.partial`));
}

const [folder, manifest, target, ...more] = process.argv.slice(2);
if (!target || more.length > 0) {
  console.error('usage: node tools/replay.js FIXTURES MANIFEST DUMP');
  process.exit(2);
}
await replay(folder, manifest, target).catch((error) => {
  if (!(error instanceof TinySamError)) throw error;
  console.error(`error: ${error.message}`);
  process.exit(1);
});
