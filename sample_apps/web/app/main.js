/** The page, put together. */
import { App } from './app.js';
import { CheckCard } from './check-card.js';
import { Clicks } from './clicks.js';
import { part } from './elements.js';
import { EverythingCard } from './everything-card.js';
import { MaskCard } from './mask-card.js';
import { ModelsCard } from './models-card.js';
import { PhotoCard } from './photo-card.js';
import { Remote } from './remote.js';

/** @import { Config } from './models.js' */
/** @import { StageEvents, Tool } from './stage.js' */

async function start() {
  const response = await fetch('config.json');
  if (!response.ok) throw new Error('config.json is missing: serve this folder with tinysam-mobile serve');
  const config = /** @type {Config} */ (await response.json());
  const remote = new Remote(new Worker(new URL('worker.js', import.meta.url), { type: 'module' }));
  const facts = await remote.call('start', config, document.baseURI);
  const app = new App(
    remote,
    config,
    eventsOf(() => ({ clicks, everything })),
  );
  const clicks = new Clicks(app);
  const everything = new EverythingCard(app, clicks);
  const photos = new PhotoCard(app, clicks);
  const models = new ModelsCard(app, clicks, photos, facts);
  new MaskCard(app, facts.masksPerPrompt);
  photos.onPhoto.push(() => everything.forget());
  chooseTools(app);
  part('model-name').textContent = `${facts.name}, ${facts.imageSize} px`;
  if (facts.isStandIn)
    app.fail('These are stand-in weights: every mask is noise. Convert a trained checkpoint.');
  app.choice = { recipe: facts.recipes[0], accelerator: 'wasm' };
  await models.load();
  new CheckCard(app);
  await photos.example();
  document.documentElement.dataset.ready = 'yes';
  // For the console, and for the test that drives the page.
  Object.assign(globalThis, { tinysam: { remote, prompt: () => app.history.current } });
}

/**
 * What the stage tells goes to the objects on it, if everything mode put some there, or becomes a prompt.
 * @param {() => {clicks: Clicks, everything: EverythingCard}} parts
 * @returns {StageEvents}
 */
function eventsOf(parts) {
  return {
    hover: (point) => {
      const { clicks, everything } = parts();
      if (!everything.isShown) clicks.hover(point);
      else if (!clicks.isMasked) everything.hover(point);
    },
    point: (point) => {
      const { clicks, everything } = parts();
      if (everything.isShown && everything.pick(point)) return;
      everything.forget();
      clicks.point(point);
    },
    box: (box) => {
      parts().everything.forget();
      parts().clicks.box(box);
    },
    undo: () => parts().clicks.undo(),
    clear: () => {
      parts().everything.forget();
      parts().clicks.clear();
    },
  };
}

/** @param {App} app */
function chooseTools(app) {
  for (const radio of document.querySelectorAll('input[name=tool]')) {
    radio.addEventListener('change', () => {
      app.stage.tool = /** @type {Tool} */ (/** @type {HTMLInputElement} */ (radio).value);
      // A finger draws then, and does not scroll the page.
      part('frame').classList.toggle('drawing', app.stage.tool === 'box');
    });
  }
}

start().catch((error) => {
  part('alert').textContent = error.message;
  part('alert').hidden = false;
  part('veil').hidden = true;
  part('status').textContent = 'The page could not be opened';
});
