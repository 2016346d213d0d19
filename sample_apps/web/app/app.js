/** The page's state, and what its cards share: one photo, one prompt, one model that answers. */
import { part } from './elements.js';
import { History } from './history.js';
import { Speed } from './speed.js';
import { Stage } from './stage.js';

/** @import { Remote } from './remote.js' */
/** @import { Config } from './models.js' */
/** @import { Choice } from './session.js' */
/** @import { StageEvents } from './stage.js' */

/**
 * What the model answered to the prompt on the stage; `mask` at the shown size.
 * @typedef {{mask: Uint8Array, share: number, scores: number[], best: number, ms: number}} Answer
 */

export class App {
  /** @param {Remote} remote @param {Config} config @param {StageEvents} events */
  constructor(remote, config, events) {
    this.remote = remote;
    this.config = config;
    this.stage = new Stage(part('frame'), events);
    this.history = new History();
    this.speed = new Speed();
    /** @type {Choice} */
    this.choice = { recipe: '', accelerator: 'wasm' };
    this.title = 'photo';
    this.ready = false;
    /** Changes with every photo, so that what was asked of an earlier one is not shown. */
    this.photoNumber = 0;
    /** @type {Answer | null} */
    this.answer = null;
  }

  /** Whether prompts can be answered now. */
  get isReady() {
    return this.ready;
  }

  set isReady(ready) {
    this.ready = ready;
    part('frame').ariaBusy = String(!ready);
  }

  /** Tells everybody what happened. @param {string} text */
  say(text) {
    const status = part('status');
    if (status.textContent !== text) status.textContent = text;
  }

  /** Shows what went wrong, until something works again. @param {unknown} error */
  fail(error) {
    const message = error instanceof Error ? error.message : String(error);
    part('alert').textContent = message;
    part('alert').hidden = false;
    this.veil(null);
  }

  works() {
    part('alert').hidden = true;
  }

  /** Covers the lower edge of the photo with what is going on. @param {string | null} text */
  veil(text) {
    part('veil').hidden = text === null;
    part('veil-text').textContent = text ?? '';
  }

  /** Runs a flow and shows its error. @param {() => Promise<void>} flow */
  async run(flow) {
    try {
      await flow();
    } catch (error) {
      this.fail(error);
    }
  }
}
