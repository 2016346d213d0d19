/** Opening photos: file, camera, drop, paste, the example. */
import { App } from './app.js';
import { Clicks } from './clicks.js';
import { button, input, part } from './elements.js';

const EXAMPLE = new URL('example.jpg', import.meta.url);

export class PhotoCard {
  /** @param {App} app @param {Clicks} clicks */
  constructor(app, clicks) {
    this.app = app;
    this.clicks = clicks;
    /** Called with each new photo. @type {(() => void)[]} */
    this.onPhoto = [];
    for (const id of ['open', 'camera']) {
      input(id).onchange = () => {
        const file = input(id).files?.[0];
        input(id).value = '';
        if (file) this.open(file, file.name);
      };
    }
    button('example').onclick = () => this.example();
    this.listen();
  }

  listen() {
    const frame = part('frame');
    document.addEventListener('dragover', (event) => {
      event.preventDefault();
      frame.classList.add('dropping');
    });
    document.addEventListener(
      'dragleave',
      (event) => event.relatedTarget ?? frame.classList.remove('dropping'),
    );
    document.addEventListener('drop', (event) => {
      event.preventDefault();
      frame.classList.remove('dropping');
      const file = event.dataTransfer?.files[0];
      if (file) this.open(file, file.name);
    });
    document.addEventListener('paste', (event) => {
      const file = event.clipboardData?.files[0];
      if (file) this.open(file, 'pasted photo');
    });
  }

  example() {
    return this.app.run(async () => {
      const response = await fetch(EXAMPLE);
      if (!response.ok) throw new Error('the example could not be fetched: open a photo of your own');
      await this.open(await response.blob(), 'example.jpg');
    });
  }

  /** @param {Blob} blob @param {string} title */
  open(blob, title) {
    const { app } = this;
    return app.run(async () => {
      app.isReady = false;
      app.photoNumber++;
      const { photoNumber } = app;
      const size = await app.remote.call('open', blob);
      app.title = title.replace(/\.\w+$/, '') || 'photo';
      app.works();
      this.clicks.clear();
      await app.stage.show(blob, size);
      part('frame').setAttribute(
        'aria-label',
        `${app.title}, ${size.width} by ${size.height} pixels: choose an object`,
      );
      for (const told of this.onPhoto) told();
      await this.encode(photoNumber);
    });
  }

  /** Brings the photo to the chosen model; prompts can be answered then. @param {number} photoNumber */
  async encode(photoNumber) {
    const { app } = this;
    app.isReady = false;
    app.veil('Looking at the photo');
    app.say('Looking at the photo');
    app.speed.add(await app.remote.call('encode', app.choice));
    if (photoNumber !== app.photoNumber) return;
    app.isReady = true;
    app.veil(null);
    button('everything').disabled = false;
    this.clicks.answer();
  }
}
