/** Models of a bundle, loaded in the worker when they are first asked for. */
import { parseManifest } from '../core/ManifestReader.js';
import { Predictor } from '../core/Predictor.js';
import { filesAt, readText } from '../core/replay/FileTree.js';
import { EngineError } from '../core/Errors.js';
import { LiteRtEngine } from '../platform/LiteRtEngine.js';
import { loadLiteRt } from '../platform/LiteRtLoader.js';

/** @import { Manifest, Artifact } from '../core/Manifest.js' */
/** @import { Accelerator } from '../platform/LiteRtEngine.js' */
/** @import { LiteRtSource } from '../platform/LiteRtLoader.js' */

/** The runtime that a browser has. */
export const RUNTIME = 'tflite';

/**
 * The page's config.json, which `tinysam-mobile serve` or `bundle-for-app web` writes.
 * @typedef {{bundle: string, fixtures: string | null, api: string | null, host_runtimes: Record<string, string>,
 *   litert: LiteRtSource}} Config
 */

/**
 * A loaded model; `loadMs` until it was ready, with the download.
 * @typedef {{predictor: Predictor, recipe: string, accelerator: Accelerator, loadMs: number,
 *   sha256: Record<string, string>}} Model
 */

export class Models {
  /**
   * @param {Config} config @param {URL} base
   * @param {(progress: {loading: string, share: number}) => void} tell
   */
  constructor(config, base, tell) {
    this.config = config;
    this.base = base;
    this.tell = tell;
    /** @type {Map<string, Model>} */
    this.loaded = new Map();
    /** @type {Manifest | null} */
    this.manifest = null;
    /** @type {Awaited<ReturnType<typeof loadLiteRt>> | null} */
    this.runtime = null;
  }

  async readManifest() {
    const files = filesAt(new URL(this.config.bundle, this.base));
    this.manifest = parseManifest(await readText(files, 'manifest.json'));
    return this.manifest;
  }

  /** @param {string} recipe @param {Accelerator} accelerator */
  async open(recipe, accelerator) {
    const key = `${recipe} ${accelerator}`;
    const known = this.loaded.get(key);
    if (known) return known;
    const manifest = this.manifest ?? (await this.readManifest());
    const artifacts = manifest.artifactsOf(RUNTIME, recipe);
    const start = performance.now();
    const { litert } = (this.runtime ??= await this.loadRuntime());
    const files = {
      encoder: await this.download(artifacts.encoder),
      decoder: await this.download(artifacts.decoder),
    };
    const engine = await LiteRtEngine.open(litert, manifest, artifacts, files, accelerator);
    const model = {
      predictor: new Predictor(engine, manifest),
      ...{ recipe, accelerator, loadMs: performance.now() - start },
      sha256: { encoder: artifacts.encoder.sha256, decoder: artifacts.decoder.sha256 },
    };
    this.loaded.set(key, model);
    return model;
  }

  loadRuntime() {
    this.tell({ loading: 'LiteRT.js', share: 0 });
    // Threads need memory that is shared, which a browser gives to isolated pages in a secure context.
    return loadLiteRt(this.config.litert, this.base, globalThis.crossOriginIsolated === true);
  }

  /**
   * Fetches an artifact and tells how much is there; the hash in the address lets the browser keep it.
   * @param {Artifact} artifact
   */
  async download(artifact) {
    const url = new URL(`${this.config.bundle}${artifact.path}?sha256=${artifact.sha256}`, this.base);
    const response = await fetch(url);
    if (!response.ok || !response.body) {
      throw new EngineError(`${artifact.path} cannot be fetched: the server answered ${response.status}`);
    }
    const data = new Uint8Array(artifact.sizeBytes);
    let done = 0;
    for await (const chunk of chunks(response.body)) {
      if (done + chunk.length > data.length) break;
      data.set(chunk, done);
      done += chunk.length;
      this.tell({ loading: artifact.path, share: done / data.length });
    }
    if (done !== data.length)
      throw new EngineError(`${artifact.path} is not what the manifest says: load the page again`);
    return data;
  }
}

/** A stream's chunks; not every browser iterates over streams. @param {ReadableStream<Uint8Array>} stream */
async function* chunks(stream) {
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}
