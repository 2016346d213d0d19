/** @import { Session } from './session.js' */

/** Calls the session in its worker; every method returns a promise. */
export class Remote {
  /** @param {Worker} worker */
  constructor(worker) {
    this.worker = worker;
    /** @type {Map<number, {resolve: (value: any) => void, reject: (error: Error) => void}>} */
    this.waiting = new Map();
    this.number = 0;
    /** Told how far the call in progress is. @type {(progress: any) => void} */
    this.onProgress = () => {};
    worker.onmessage = ({ data }) => this.receive(data);
    worker.onerror = (event) => this.fail(new Error(event.message || 'the worker could not be started'));
  }

  /**
   * @template {keyof Session} M @param {M} method
   * @param {Session[M] extends (...args: infer A) => any ? A : never} args
   * @returns {Promise<Session[M] extends (...args: any[]) => infer R ? Awaited<R> : never>}
   */
  call(method, ...args) {
    return new Promise((resolve, reject) => {
      this.number++;
      this.waiting.set(this.number, { resolve, reject });
      this.worker.postMessage({ id: this.number, method, args });
    });
  }

  /** Ends the search or check in progress soon. */
  stop() {
    this.worker.postMessage({ id: 0, method: 'stop', args: [] });
  }

  /** @param {{id?: number, result?: any, error?: string, progress?: any}} message */
  receive({ id, result, error, progress }) {
    if (progress !== undefined) return this.onProgress(progress);
    const call = this.waiting.get(id ?? 0);
    this.waiting.delete(id ?? 0);
    if (error === undefined) call?.resolve(result);
    else call?.reject(new Error(error));
  }

  /** @param {Error} error */
  fail(error) {
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }
}
