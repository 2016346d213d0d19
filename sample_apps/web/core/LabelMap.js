import { SettingsError } from './Errors.js';

/** @import { RunLengths } from './RunLengths.js' */

/** As many objects as 16 bits can number. */
const MAX_OBJECTS = 0xffff;

/** @typedef {{runs: RunLengths, score: number}} Painted */

/**
 * The objects of everything mode on one sheet: `labels` uint16 (height, width), i + 1 for object i, 0 for none.
 *
 * Each pixel belongs to the smallest object over it.
 */
export class LabelMap {
  /**
   * Paints the objects of a photo over one another; throws `SettingsError` for too many.
   * @param {Painted[]} objects @param {number} height @param {number} width
   */
  static of(objects, height, width) {
    if (objects.length > MAX_OBJECTS) {
      throw new SettingsError(`a label map holds at most ${MAX_OBJECTS} objects, not ${objects.length}`);
    }
    const labels = new Uint16Array(height * width);
    for (const i of LabelMap.paintOrder(objects)) {
      objects[i].runs.forEachPixel((place) => {
        labels[place] = i + 1;
      });
    }
    return new LabelMap(height, width, labels);
  }

  /** @param {number} height @param {number} width @param {Uint16Array} labels */
  constructor(height, width, labels) {
    this.height = height;
    this.width = width;
    this.labels = labels;
  }

  /**
   * Indices from bottom to top: large below small, then low score below high, then late below early.
   *
   * So that a part stays visible on its whole, and equal inputs always give the same map.
   * @param {Painted[]} objects
   */
  static paintOrder(objects) {
    const areas = objects.map(({ runs }) => runs.area);
    return objects
      .map((_, i) => i)
      .sort((a, b) => areas[b] - areas[a] || objects[a].score - objects[b].score || b - a);
  }
}
