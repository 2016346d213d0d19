import { EngineError } from '../core/Errors.js';

/**
 * Where the files of LiteRT.js are, by their names in npm's scope @litertjs; `integrity` as `fetch` takes it.
 * @typedef {{version: string, files: Record<string, {url: string, integrity: string | null}>}} LiteRtSource
 */

/** The part of LiteRT.js that the engine uses; its own types are in the npm package. */
/** @typedef {typeof import('@litertjs/core')} LiteRt */

const CORE = 'core/dist/index.js';
const UTILS = 'wasm-utils/dist/index.js';
const UTILS_IMPORT = /(['"])@litertjs\/wasm-utils\1/g;
const JAVASCRIPT = { type: 'text/javascript' };

/**
 * Loads LiteRT.js inside a module worker; rejects with `EngineError` that says what to do.
 *
 * Its two modules name each other as npm does, which a worker cannot resolve (import maps are for pages), and its
 * loader wants `importScripts`, which a module worker has not.  So the files are fetched, with their hashes checked,
 * and handed over: the same for a folder, a CDN and a static site.
 * @param {LiteRtSource} source @param {URL} base of relative addresses @param {boolean} threads
 * @returns {Promise<{litert: LiteRt, threads: number, memoryBytes: () => number | null}>}
 */
export async function loadLiteRt(source, base, threads) {
  const fetched = (/** @type {string} */ name) => fetchFile(source, name, base);
  const [core, utils] = await Promise.all(
    [fetched(CORE), fetched(UTILS)].map(async (part) => (await part).text()),
  );
  const litert = await import(scriptUrl(core.replaceAll(UTILS_IMPORT, `"${scriptUrl(utils)}"`)));
  const build = threads ? 'threaded_' : (await hasRelaxedSimd()) ? '' : 'compat_';
  const name = `core/wasm/litert_wasm_${build}internal`;
  const [script, wasmBinary] = await Promise.all([
    fetched(`${name}.js`).then((response) => response.text()),
    fetched(`${name}.wasm`).then((response) => response.arrayBuffer()),
  ]);
  const globals = /** @type {any} */ (globalThis);
  globals.importScripts = () => {};
  globals.ModuleFactory = (await import(scriptUrl(`${script}\nexport default ModuleFactory;`))).default;
  globals.Module = {
    wasmBinary,
    mainScriptUrlOrBlob: scriptUrl(script),
    print: () => {},
    printErr: () => {},
  };
  const loaded = await litert.loadLiteRt(`${name}.js`).catch((/** @type {Error} */ error) => {
    throw new EngineError(`LiteRT.js ${source.version} does not start in this browser: ${error.message}`);
  });
  return {
    litert,
    threads: threads ? loaded.liteRtWasm.getThreadCount() : 1,
    memoryBytes: () => loaded.liteRtWasm.HEAPU8?.byteLength ?? null,
  };
}

/** @param {LiteRtSource} source @param {string} name @param {URL} base */
async function fetchFile(source, name, base) {
  const file = source.files[name];
  if (!file) throw new EngineError(`the page's config.json names no ${name}: serve the page again`);
  const url = new URL(file.url, base);
  const response = await fetch(url, file.integrity ? { integrity: file.integrity } : {}).catch(() => null);
  if (response?.ok) return response;
  throw new EngineError(
    `LiteRT.js ${source.version} could not be loaded from ${url.host}` +
      (response ? ` (it answered ${response.status})` : ' (no connection, or a file with another hash)') +
      `: go online, or run "npm install @litertjs/core@${source.version}" and serve with --litert-js node_modules`,
  );
}

/** @param {string} text */
function scriptUrl(text) {
  return URL.createObjectURL(new Blob([text], JAVASCRIPT));
}

/** A module with one relaxed SIMD instruction, `i8x16.relaxed_swizzle`. */
const RELAXED_SIMD = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0],
  ...[65, 1, 253, 15, 65, 2, 253, 15, 253, 128, 2, 11],
);

async function hasRelaxedSimd() {
  return WebAssembly.validate(RELAXED_SIMD);
}
