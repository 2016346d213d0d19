/** Hovering, tapping, boxes, undo: from a prompt to the mask on the stage. */
import { App } from './app.js';
import { button, input, part } from './elements.js';
import { Latest } from './latest.js';
import { COLOURS, paintMask } from './paint.js';
import { duration, percent, twoDigits, whereabouts } from './words.js';

/** @import { PromptBox, PromptPoint } from '../core/Prompts.js' */
/** @import { PromptRequest } from './session.js' */

export class Clicks {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.hovering = new Latest((/** @type {{x: number, y: number}} */ point) => this.preview(point));
    this.isBusy = false;
    this.isMasked = false;
    /**
     * Called with each new answer to a prompt, null when the stage is empty. @type {(() =>
     * Promise<void>)[]}
     */
    this.onAnswer = [];
    button('undo').onclick = () => this.undo();
    button('clear').onclick = () => this.clear();
    part('masks').onchange = () => this.answer();
    input('refine').onchange = () => this.answer();
  }

  /** @param {{x: number, y: number} | null} point */
  hover(point) {
    const { app } = this;
    if (!app.isReady || app.history.current || this.isMasked || this.isBusy) return;
    if (point) {
      this.hovering.ask(point).catch((error) => app.fail(error));
      return;
    }
    this.hovering.drop();
    app.stage.lay(null, { points: [], box: null });
  }

  /** @param {{x: number, y: number}} point */
  async preview({ x, y }) {
    const { app } = this;
    const { photoNumber } = app;
    const request = this.request([{ x, y, isOnObject: true }], null, 0, null);
    const answer = await app.remote.call('predict', app.choice, request);
    app.speed.add({ decode: answer.ms.decode });
    if (app.history.current || photoNumber !== app.photoNumber || !this.hovering.isRunning || this.isMasked)
      return;
    app.stage.lay(paintMask(answer.mask, app.stage.shown, COLOURS.hover, [0, 0, 0, 0]), {
      points: [],
      box: null,
    });
    document.documentElement.dataset.previews = String(
      Number(document.documentElement.dataset.previews ?? 0) + 1,
    );
  }

  /** @param {PromptPoint} point */
  point(point) {
    this.app.history.addPoint(point);
    this.answer();
  }

  /** @param {PromptBox} box */
  box(box) {
    this.app.history.setBox(box);
    this.answer();
  }

  undo() {
    this.app.history.undo();
    this.answer();
  }

  clear() {
    this.app.history.clear();
    this.answer();
  }

  /** Answers the prompt as it stands. */
  answer() {
    return this.app.run(async () => {
      const { app } = this;
      const step = app.history.current;
      this.isMasked = step !== null;
      button('undo').disabled = button('clear').disabled = !step;
      if (!step) return this.empty();
      const before = app.history.before;
      const refines = input('refine').checked && before && step.points.length > 1 ? before.step : null;
      this.hovering.drop();
      // The prompt shows at once; its mask follows, when the photo is encoded.
      app.stage.lay(app.stage.picture, { points: step.points, box: step.box });
      if (!app.isReady) return;
      this.isBusy = true;
      try {
        await this.show(this.request(step.points, step.box, step.step, refines));
      } finally {
        this.isBusy = false;
      }
    });
  }

  /** @param {PromptRequest} request */
  async show(request) {
    const { app } = this;
    const found = await app.remote.call('predict', app.choice, request);
    if (app.history.current?.step !== request.step) return;
    app.works();
    app.speed.add(found.ms);
    app.answer = { ...found, ms: found.ms.decode + found.ms.postprocess };
    const index = request.maskIndex ?? found.best;
    app.stage.lay(paintMask(found.mask, app.stage.shown, COLOURS.mask, COLOURS.dimmed));
    part('score').textContent = twoDigits(found.scores[index]);
    part('share').textContent = percent(found.share);
    part('time').textContent = duration(app.answer.ms);
    button('cut-out').disabled = button('rle').disabled = false;
    const where = whereabouts(found.mask, app.stage.shown);
    app.say(
      `Mask over ${percent(found.share)} of the photo, ${where}; predicted IoU ${twoDigits(found.scores[index])}.`,
    );
    for (const told of this.onAnswer) await told();
  }

  empty() {
    const { app } = this;
    app.answer = null;
    app.stage.lay(null, { points: [], box: null });
    for (const id of ['score', 'share', 'time']) part(id).textContent = '–';
    button('cut-out').disabled = button('rle').disabled = true;
    app.say(app.isReady ? 'Point at something: tap it, or draw a box around it.' : 'Loading');
    for (const told of this.onAnswer) told();
  }

  /**
   * @param {PromptPoint[]} points @param {PromptBox | null} box @param {number} step
   * @param {number | null} refines @returns {PromptRequest}
   */
  request(points, box, step, refines) {
    const chosen = part('masks').querySelector('input:checked');
    const value = step > 0 && chosen instanceof HTMLInputElement ? chosen.value : 'best';
    return {
      points,
      box,
      step,
      refines,
      maskIndex: value === 'best' ? null : Number(value),
      shown: this.app.stage.shown,
    };
  }
}
