import { LAYOUT_VERSION } from './FixtureSet.js';
import { ZipWriter } from './Zip.js';

/**
 * The phone and the app, as the dump names them; each text at most 200 printable characters.
 * @typedef {{model: string, os: string, appVersion: string}} DeviceDescription
 */

/**
 * How the model ran.  `runtime` and `recipe` as in manifest.json, `computeUnit` the app's name for it, `loadMs`
 * until the models were ready, `runtimeVersion` the release of the runtime, `artifactSha256` from the app's manifest
 * by component; null where not known.
 * @typedef {{runtime: string, recipe: string, computeUnit: string, artifactSha256: Record<string, string>,
 *   threads: number | null, runtimeVersion: string | null, loadMs: number | null,
 *   peakMemoryBytes: number | null}} RunDescription
 */

/** A browser does not say how hot the phone is. */
const THERMAL_STATE = 'unknown';
const LONGEST_TEXT = 200;

/** Writes the zip that `tinysam-mobile compare-dump` judges (docs/device_loop.md). */
export class DumpWriter {
  constructor() {
    this.zip = new ZipWriter();
    /** @type {{name: string, dtype: string, shape: number[]}[]} */
    this.tensors = [];
  }

  /** @param {string} name @param {number[]} shape @param {Float32Array} values */
  writeFloats(name, shape, values) {
    this.write(name, 'float32', shape, values);
  }

  /** @param {string} name @param {number} value */
  writeInteger(name, value) {
    this.write(name, 'int32', [1], Int32Array.of(value));
  }

  /** Writes uint8 values. @param {string} name @param {number[]} shape @param {Uint8Array} values */
  writeBytes(name, shape, values) {
    this.write(name, 'uint8', shape, values);
  }

  /**
   * Writes the index and returns the archive.
   * @param {string} fixturesId @param {DeviceDescription} device @param {RunDescription} run
   * @param {Latencies} latencies
   */
  finish(fixturesId, device, run, latencies) {
    const index = {
      layout_version: LAYOUT_VERSION,
      fixtures_id: fixturesId,
      device: { model: plain(device.model), os: plain(device.os), app_version: plain(device.appVersion) },
      run: {
        runtime: run.runtime,
        recipe: run.recipe,
        runtime_version: run.runtimeVersion === null ? null : plain(run.runtimeVersion),
        compute_unit: plain(run.computeUnit),
        threads: run.threads,
        load_ms: run.loadMs,
        peak_memory_bytes: run.peakMemoryBytes,
        thermal_before: THERMAL_STATE,
        thermal_after: THERMAL_STATE,
        artifact_sha256: run.artifactSha256,
      },
      latency_ms: latencies.byStep,
      tensors: this.tensors,
    };
    this.zip.add('dump.json', new TextEncoder().encode(JSON.stringify(index)));
    return this.zip.finish();
  }

  /**
   * @param {string} name @param {string} dtype @param {number[]} shape
   * @param {Float32Array | Int32Array | Uint8Array} values
   */
  write(name, dtype, shape, values) {
    const { buffer, byteOffset, byteLength } = values.slice();
    this.zip.add(`${name}.bin`, new Uint8Array(buffer, byteOffset, byteLength));
    this.tensors.push({ name, dtype, shape });
  }
}

/** What the reader takes: printable ASCII of some length, and not empty. @param {string} text */
function plain(text) {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, LONGEST_TEXT) || 'unknown';
}

/** Milliseconds of every call, by the step's name in the dump. */
export class Latencies {
  constructor() {
    /** @type {Record<string, number[]>} */
    this.byStep = {};
  }

  /**
   * Runs `call` and notes how long it took.
   * @template T @param {string} step @param {() => T | Promise<T>} call
   */
  async measure(step, call) {
    const start = performance.now();
    const result = await call();
    (this.byStep[step] ??= []).push(performance.now() - start);
    return result;
  }
}
