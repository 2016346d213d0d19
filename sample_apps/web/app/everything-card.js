/** Everything mode: progress, stop, choosing one of the objects. */
import { App } from './app.js';
import { Clicks } from './clicks.js';
import { button, downloadJson, element, input, part } from './elements.js';
import { COLOURS, paintLabels, paintMask } from './paint.js';
import { duration, percent, twoDigits, whereabouts } from './words.js';

/** @typedef {{labels: Uint16Array, objects: {score: number, share: number}[]}} Found */

export class EverythingCard {
  /** @param {App} app @param {Clicks} clicks */
  constructor(app, clicks) {
    this.app = app;
    this.clicks = clicks;
    /** @type {Found | null} */
    this.found = null;
    this.isRunning = false;
    this.pointed = 0;
    this.progress = element('everything-progress', HTMLProgressElement);
    button('everything').onclick = () => (this.isRunning ? app.remote.stop() : this.run());
    button('everything-save').onclick = () => this.save();
  }

  /** Whether objects, and no prompt, are on the stage. */
  get isShown() {
    return this.found !== null && !this.app.history.current;
  }

  forget() {
    this.found = null;
    this.pointed = 0;
    button('everything-save').hidden = true;
    part('everything-result').hidden = true;
  }

  run() {
    const { app } = this;
    return app.run(async () => {
      if (!app.isReady) return;
      this.begin();
      try {
        const mode = input('exact').checked ? 'exact' : 'fast';
        const result = await app.remote.call('everything', app.choice, mode, app.stage.shown);
        app.speed.add({ everything: result.ms });
        this.found = result;
        const stopped = result.end === 'complete' ? '' : ', stopped early';
        const text = `${result.objects.length} objects in ${duration(result.ms)}, ${result.points} points decoded${stopped}`;
        part('everything-result').textContent = text;
        app.say(`${text}. Tap one to keep it.`);
        button('everything-save').hidden = result.objects.length === 0;
        this.draw();
      } finally {
        this.end();
      }
    });
  }

  begin() {
    const { app } = this;
    this.isRunning = true;
    this.clicks.clear();
    this.forget();
    app.isReady = false;
    app.say('Looking for every object');
    button('everything').textContent = 'Stop';
    this.progress.hidden = false;
    this.progress.value = 0;
    app.remote.onProgress = ({ everything }) => {
      if (!everything) return;
      // The second round is most of the work.
      this.progress.value = (everything.round - 1 + everything.decoded / Math.max(1, everything.total)) / 2;
      part('everything-result').textContent = `${everything.found} candidates`;
      part('everything-result').hidden = false;
    };
  }

  end() {
    this.isRunning = false;
    this.app.isReady = true;
    this.app.remote.onProgress = () => {};
    button('everything').textContent = 'Find all';
    this.progress.hidden = true;
    part('everything-result').hidden = false;
  }

  draw() {
    if (!this.found) return;
    const picture = paintLabels(this.found.labels, this.app.stage.shown, this.pointed);
    this.app.stage.lay(picture, { points: [], box: null });
  }

  /** @param {{x: number, y: number} | null} point */
  hover(point) {
    const label = point ? this.labelAt(point) : 0;
    if (label === this.pointed) return;
    this.pointed = label;
    this.draw();
  }

  /**
   * Keeps the object at a point of the photo; false if there is none.
   * @param {{x: number, y: number}} point
   */
  pick(point) {
    const label = this.labelAt(point);
    if (!label) return false;
    this.app.run(async () => {
      const { app } = this;
      const { mask } = await app.remote.call('pick', app.choice, label - 1, app.stage.shown);
      const { score, share } = /** @type {Found} */ (this.found).objects[label - 1];
      app.stage.lay(paintMask(mask, app.stage.shown, COLOURS.mask, COLOURS.dimmed), {
        points: [],
        box: null,
      });
      part('score').textContent = twoDigits(score);
      part('share').textContent = percent(share);
      part('time').textContent = '–';
      button('cut-out').disabled = button('rle').disabled = false;
      app.say(`Object ${label}, ${percent(share)} of the photo, ${whereabouts(mask, app.stage.shown)}.`);
    });
    return true;
  }

  /** @param {{x: number, y: number}} point */
  labelAt({ x, y }) {
    const { shown, size } = this.app.stage;
    const column = Math.min(Math.floor((x / size.width) * shown.width), shown.width - 1);
    const row = Math.min(Math.floor((y / size.height) * shown.height), shown.height - 1);
    return this.found?.labels[row * shown.width + column] ?? 0;
  }

  save() {
    return this.app.run(async () => {
      downloadJson(await this.app.remote.call('everythingCoco'), `${this.app.title}_everything.json`);
      this.app.say('All objects are saved.');
    });
  }
}
