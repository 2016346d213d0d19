import { RecordingError } from '../Errors.js';

/**
 * A folder of files by relative path with forward slashes: behind an address, or on disk.  Rejects with
 * `RecordingError` if a file cannot be read.
 * @typedef {(path: string) => Promise<Uint8Array>} FileTree
 */

/** Files below an address. @param {URL | string} base with a slash at its end @returns {FileTree} */
export function filesAt(base) {
  return async (path) => {
    const url = new URL(path, base);
    const response = await fetch(url).catch((error) => {
      throw new RecordingError(`${path} cannot be fetched: ${error.message}`);
    });
    if (!response.ok)
      throw new RecordingError(`${path} cannot be fetched: the server answered ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  };
}

/** The text of a file in UTF-8. @param {FileTree} files @param {string} path */
export async function readText(files, path) {
  return new TextDecoder().decode(await files(path));
}

/**
 * A file of exactly `count` bytes; rejects with `RecordingError` for another length.
 * @param {FileTree} files @param {string} path @param {number} count
 */
export async function readBytes(files, path, count) {
  const data = await files(path);
  if (data.length !== count) {
    throw new RecordingError(`${path} has ${data.length} bytes, but its shape takes ${count}: copy it again`);
  }
  return data;
}

/**
 * A file of exactly `count` little-endian float32; rejects with `RecordingError` for another length.
 * @param {FileTree} files @param {string} path @param {number} count
 */
export async function readFloats(files, path, count) {
  const bytes = Float32Array.BYTES_PER_ELEMENT;
  const data = await readBytes(files, path, count * bytes);
  // Every machine with a browser is little-endian; the copy is for the alignment.
  return new Float32Array(data.slice().buffer);
}
