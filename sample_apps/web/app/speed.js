/** The table of what each step took on this device. */
import { part } from './elements.js';
import { duration, median } from './words.js';

/** Step of the dump → what it is. */
const STEPS = Object.freeze({
  load: 'load the model',
  preprocess: 'resize the photo',
  encode: 'encode',
  decode: 'decode',
  decode_batch: 'decode a batch',
  postprocess: 'full-size mask',
  everything: 'everything',
});

const MOST_RUNS = 200;

/** @typedef {keyof typeof STEPS} StepName */

export class Speed {
  constructor() {
    /** @type {Map<string, number[]>} */
    this.runs = new Map();
  }

  /** @param {Partial<Record<StepName, number>>} figures milliseconds */
  add(figures) {
    for (const [step, ms] of Object.entries(figures)) {
      if (ms > 0) this.runs.set(step, [...(this.runs.get(step) ?? []), ms].slice(-MOST_RUNS));
    }
    this.show();
  }

  clear() {
    this.runs.clear();
    this.show();
  }

  show() {
    const rows = Object.entries(STEPS).flatMap(([step, name]) => {
      const runs = this.runs.get(step);
      return runs ? [rowOf(name, runs)] : [];
    });
    part('speed').replaceChildren(...rows);
  }
}

/** @param {string} name @param {number[]} runs */
function rowOf(name, runs) {
  const row = document.createElement('tr');
  const header = document.createElement('th');
  header.scope = 'row';
  header.textContent = name;
  row.append(header, cell(String(runs.length)), cell(duration(median(runs))));
  return row;
}

/** @param {string} text */
function cell(text) {
  const made = document.createElement('td');
  made.textContent = text;
  return made;
}
