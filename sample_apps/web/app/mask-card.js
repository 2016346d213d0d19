/** What can be done with a mask. */
import { App } from './app.js';
import { button, download, downloadJson, part } from './elements.js';

export class MaskCard {
  /** @param {App} app @param {number} masks of one prompt */
  constructor(app, masks) {
    this.app = app;
    button('cut-out').onclick = () => this.cutOut();
    button('rle').onclick = () => this.rle();
    const values = ['best', ...Array.from({ length: masks }, (_, i) => String(i))];
    part('masks').append(...values.map(choiceOf));
  }

  cutOut() {
    return this.app.run(async () => {
      const { blob } = await this.app.remote.call('cutOut', this.app.choice);
      download(blob, `${this.app.title}_cut_out.png`);
      this.app.say('The cut-out is saved.');
    });
  }

  rle() {
    return this.app.run(async () => {
      downloadJson(await this.app.remote.call('coco', this.app.choice), `${this.app.title}_mask.json`);
      this.app.say('The mask is saved as COCO run lengths.');
    });
  }
}

/** @param {string} value */
function choiceOf(value) {
  const label = document.createElement('label');
  const radio = Object.assign(document.createElement('input'), {
    type: 'radio',
    name: 'mask',
    value,
    checked: value === 'best',
  });
  const words = document.createElement('span');
  words.textContent = value === 'best' ? 'Best' : String(Number(value) + 1);
  radio.setAttribute('aria-label', value === 'best' ? 'The best mask' : `Mask ${words.textContent}`);
  label.append(radio, words);
  return label;
}
