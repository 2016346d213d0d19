/**
 * Runs `work` for the newest of many requests: while one runs, a later one replaces the one that waits.
 *
 * That is how a pointer that moves faster than the decoder stays live and never lags behind.
 * @template T
 */
export class Latest {
  /** @param {(request: T) => Promise<void>} work */
  constructor(work) {
    this.work = work;
    /** @type {T | null} */
    this.waiting = null;
    this.isRunning = false;
  }

  /** @param {T} request */
  async ask(request) {
    this.waiting = request;
    if (this.isRunning) return;
    this.isRunning = true;
    try {
      while (this.waiting !== null) {
        const next = this.waiting;
        this.waiting = null;
        await this.work(next);
      }
    } finally {
      this.isRunning = false;
    }
  }

  /** Forgets what waits. */
  drop() {
    this.waiting = null;
  }
}
