/** The worker: everything that takes time, so that the page never freezes.  Calls come in one at a time. */
import { Session } from './session.js';

/** @typedef {{id: number, method: string, args: unknown[]}} CallMessage */

const scope = /** @type {DedicatedWorkerGlobalScope} */ (/** @type {unknown} */ (globalThis));
const session = new Session((progress) => scope.postMessage({ progress }));

/** Calls wait for each other, but for `stop`. */
let last = Promise.resolve();

scope.onmessage = ({ data }) => {
  const call = /** @type {CallMessage} */ (data);
  if (call.method === 'stop') session.stop();
  else last = last.then(() => answer(call));
};

/** @param {CallMessage} call */
async function answer({ id, method, args }) {
  try {
    const result = await /** @type {any} */ (session)[method](...args);
    const buffers = Object.values(result ?? {})
      .filter(ArrayBuffer.isView)
      .map(({ buffer }) => buffer);
    scope.postMessage({ id, result }, [...new Set(buffers)]);
  } catch (error) {
    scope.postMessage({ id, error: messageOf(error) });
  }
}

/** @param {unknown} error */
function messageOf(error) {
  if (!(error instanceof Error)) return String(error);
  // An error of ours says what to do; of any other the kind is worth knowing.
  return 'fault' in error || /^(?!Type|Reference|Range)\w*Error$/.test(error.name)
    ? error.message
    : `${error.name}: ${error.message}`;
}
