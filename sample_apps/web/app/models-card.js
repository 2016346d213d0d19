/** Which model answers, and another one beside it: recipes of the bundle, runtimes of the host. */
import { App } from './app.js';
import { Clicks } from './clicks.js';
import { fill, part, select } from './elements.js';
import { Host } from './host.js';
import { paintDifference } from './paint.js';
import { PhotoCard } from './photo-card.js';
import { keyOf } from './session.js';
import { duration } from './words.js';

/** @typedef {{recipes: string[], megabytes: Record<string, number>}} Recipes */

const HOST = 'host ';

export class ModelsCard {
  /** @param {App} app @param {Clicks} clicks @param {PhotoCard} photos @param {Recipes} recipes */
  constructor(app, clicks, photos, { recipes, megabytes }) {
    this.app = app;
    this.clicks = clicks;
    this.photos = photos;
    this.host = app.config.api ? new Host(new URL(app.config.api, document.baseURI), app.remote) : null;
    const words = recipes.map(
      (recipe) => /** @type {[string, string]} */ ([recipe, `${recipe}, ${megabytes[recipe].toFixed(1)} MB`]),
    );
    const hosts = Object.entries(app.config.host_runtimes).map(
      ([name, line]) => /** @type {[string, string]} */ ([HOST + name, line]),
    );
    fill(select('recipe'), words);
    fill(select('compare'), [['', 'nothing'], ...words, ...hosts]);
    select('recipe').disabled = select('compare').disabled = false;
    select('recipe').onchange = () => this.change();
    select('accelerator').onchange = () => this.change();
    select('compare').onchange = () => clicks.answer();
    part('accelerator-field').hidden = !('gpu' in navigator);
    clicks.onAnswer.push(() => this.compare());
    photos.onPhoto.push(() => this.host?.forget());
  }

  /** Loads the chosen model and brings the photo to it. */
  change() {
    const { app } = this;
    return app.run(async () => {
      const recipe = select('recipe').value;
      const accelerator = /** @type {'wasm' | 'webgpu'} */ (select('accelerator').value);
      const before = app.choice;
      app.choice = { recipe, accelerator };
      try {
        await this.load();
      } catch (error) {
        app.choice = before;
        select('recipe').value = before.recipe;
        select('accelerator').value = before.accelerator;
        throw error;
      }
      app.speed.clear();
      if (app.photoNumber > 0) await this.photos.encode(app.photoNumber);
    });
  }

  /** Loads the chosen model, and shows how far it is. */
  async load() {
    const { app } = this;
    app.veil('Loading the model');
    app.remote.onProgress = ({ loading, share }) => {
      if (loading) app.veil(`Loading ${loading} ${share ? `${Math.round(share * 100)} %` : ''}`);
    };
    try {
      const { loadMs, threads } = await app.remote.call('load', app.choice);
      app.speed.add({ load: loadMs });
      part('speed-note').textContent =
        `${app.choice.accelerator === 'wasm' ? 'WebAssembly' : 'WebGPU'}, ${threads} thread${threads > 1 ? 's' : ''}`;
    } finally {
      app.remote.onProgress = () => {};
    }
    app.works();
    app.veil(null);
  }

  /** Asks the other model the same, and colours where the two differ. */
  async compare() {
    const { app } = this;
    const step = app.history.current;
    const other = select('compare').value;
    const isSame = other === app.choice.recipe;
    // What is there belongs to an earlier prompt.
    part('compare-result').hidden = true;
    if (!step || !other || isSame) return;
    const refines = app.history.before && step.points.length > 1;
    const { source, ms } = await this.answerOf(other, step.step);
    if (app.history.current?.step !== step.step) return;
    const { classes, iou, pixels } = await app.remote.call(
      'difference',
      keyOf(app.choice),
      source,
      app.stage.shown,
    );
    app.stage.lay(paintDifference(classes, app.stage.shown));
    this.tell(other, iou, pixels, ms, Boolean(refines) && other.startsWith(HOST));
  }

  /**
   * @param {string} other @param {number} number of the step
   * @returns {Promise<{source: string, ms: number}>}
   */
  async answerOf(other, number) {
    const { app } = this;
    const step = /** @type {import('./history.js').Step} */ (app.history.current);
    if (other.startsWith(HOST)) {
      if (!this.host) throw new Error('no host answers this page');
      app.veil('Asking the host');
      const mask = await this.host.mask(other.slice(HOST.length), step).finally(() => app.veil(null));
      await app.remote.call('foreign', other, mask);
      return { source: other, ms: mask.ms };
    }
    const choice = { recipe: other, accelerator: app.choice.accelerator };
    const before = app.history.before;
    const request = this.clicks.request(step.points, step.box, number, before?.step ?? null);
    const { ms } = await app.remote.call('predict', choice, request);
    return { source: keyOf(choice), ms: ms.decode + ms.postprocess };
  }

  /**
   * @param {string} other @param {number} iou @param {number} pixels @param {number} ms
   * @param {boolean} withoutRefining
   */
  tell(other, iou, pixels, ms, withoutRefining) {
    const name = other.startsWith(HOST) ? this.app.config.host_runtimes[other.slice(HOST.length)] : other;
    const figures = `IoU ${iou.toFixed(4)}, ${pixels} pixels differ`;
    const legend = part('compare-result');
    legend.replaceChildren(
      bold(figures),
      key('both', 'both'),
      key('only-first', `only ${this.app.choice.recipe}`),
      key('only-second', `only ${name}`),
      document.createTextNode(`${duration(ms)}${withoutRefining ? ', the host does not refine' : ''}`),
    );
    legend.hidden = false;
    this.app.say(`${figures} between ${this.app.choice.recipe} and ${name}.`);
  }
}

/** @param {string} text */
function bold(text) {
  const made = document.createElement('b');
  made.textContent = text;
  return made;
}

/** @param {string} kind @param {string} words */
function key(kind, words) {
  const made = document.createElement('span');
  const swatch = document.createElement('i');
  swatch.className = kind;
  made.append(swatch, words);
  return made;
}
