import { PromptError } from './Errors.js';
import { Geometry } from './Geometry.js';
import { SAM_RULES } from './Rules.js';

/** @import { PromptLabels } from './Manifest.js' */
/** @import { Rules } from './Rules.js' */

/** Coordinates, in the frame, of the slots that fill a prompt up to a fixed number of points. */
const FILLING_XY = -1;

/**
 * A click, in pixels of the photo: on the object, or off it.  A box around the object; (x0, y0) is its top left.
 * @typedef {{x: number, y: number, isOnObject: boolean}} PromptPoint
 * @typedef {{x0: number, y0: number, x1: number, y1: number}} PromptBox
 */

/**
 * Points and at most one box for one object.
 *
 * Nothing at all is a prompt beside a mask prompt only.  Throws `PromptError` for coordinates that are not
 * finite, and for a box whose first corner is not its top left.
 */
export class Prompt {
  /** @param {PromptPoint[]} points @param {PromptBox | null} [box] */
  constructor(points, box = null) {
    const numbers = [
      ...points.flatMap(({ x, y }) => [x, y]),
      ...(box ? [box.x0, box.y0, box.x1, box.y1] : []),
    ];
    if (!numbers.every(Number.isFinite)) {
      throw new PromptError('not_finite', `a prompt's coordinates must be finite, not ${numbers}`);
    }
    if (box && (box.x0 > box.x1 || box.y0 > box.y1)) {
      throw new PromptError('box_order', `a box must have x0 <= x1 and y0 <= y1, not ${Object.values(box)}`);
    }
    this.points = points;
    this.box = box;
  }

  /**
   * Makes a prompt of flat lists, as files have them: `points` x0, y0, x1, y1, …, one of `labels` per point as
   * the manifest numbers them, `box` x0, y0, x1, y1.  Throws `PromptError` for anything else.
   * @param {number[]} points @param {number[]} labels @param {number[] | null} box @param {PromptLabels} codes
   */
  static of(points, labels, box, codes) {
    if (points.length !== 2 * labels.length || (box && box.length !== 2 * 2)) {
      throw new PromptError(
        'label_count',
        `a prompt needs x and y for each of its ${labels.length} labels, not ${points.length} numbers, ` +
          'and four numbers for a box',
      );
    }
    if (labels.some((label) => label !== codes.foreground && label !== codes.background)) {
      throw new PromptError(
        'bad_label',
        `labels must be ${codes.foreground} (on the object) or ${codes.background} (off it)`,
      );
    }
    return new Prompt(
      labels.map((label, i) => ({
        ...{ x: points[2 * i], y: points[2 * i + 1], isOnObject: label === codes.foreground },
      })),
      box && { x0: box[0], y0: box[1], x1: box[2], y1: box[3] },
    );
  }

  /** Whether there is neither a point nor a box. */
  get isEmpty() {
    return this.points.length === 0 && !this.box;
  }

  /** Slots that the prompt takes, with the pad point. @param {Readonly<Rules>} [rules] */
  slots(rules = SAM_RULES) {
    return this.points.length + (this.box ? 2 : 0) + (this.hasPadPoint(rules) ? 1 : 0);
  }

  /** Whether a slot of the pad label follows the points and corners. @param {Readonly<Rules>} rules */
  hasPadPoint({ padPoint }) {
    if (this.isEmpty || padPoint === 'never') return false;
    return !this.box || padPoint === 'always';
  }

  /** Throws `PromptError` if there is nothing to answer. @param {boolean} hasMaskInput */
  requireContent(hasMaskInput) {
    if (this.isEmpty && !hasMaskInput) {
      throw new PromptError('empty', 'nothing to predict: give a point, a box or a mask prompt');
    }
  }
}

/** Inputs of the decoder: `coords` float32 (K, N, 2), x, y in the S frame; `labels` int32 (K, N); flat. */
export class PackedPrompts {
  /** All slots unused. @param {number} prompts @param {number} slots @param {PromptLabels} codes */
  constructor(prompts, slots, codes) {
    this.prompts = prompts;
    this.slots = slots;
    this.coords = new Float32Array(prompts * slots * 2);
    this.labels = new Int32Array(prompts * slots).fill(codes.unused);
  }

  /** @param {number} slot @param {number} x @param {number} y @param {number} label */
  set(slot, x, y, label) {
    this.coords[2 * slot] = x;
    this.coords[2 * slot + 1] = y;
    this.labels[slot] = label;
  }
}

/**
 * Packs at most `batch` prompts into (`batch`, `slots`), as the official predictor does: the points, then the
 * two corners of the box, then a pad point where the rules say so.  What is left over, prompts beyond the last included,
 * is unused slots.
 *
 * Throws `PromptError` if a prompt needs more slots or lies outside the photo.
 * @param {Prompt[]} prompts @param {Geometry} geometry @param {PromptLabels} codes @param {number} slots
 * @param {number} batch
 */
export function packPrompts(prompts, geometry, codes, slots, batch) {
  if (prompts.length > batch)
    throw new RangeError(`${prompts.length} prompts do not fit into a batch of ${batch}`);
  const packed = new PackedPrompts(batch, slots, codes);
  prompts.forEach((prompt, row) => {
    requireFits(prompt, geometry, slots);
    packOne(packed, row * slots, prompt, geometry, codes);
  });
  return packed;
}

/**
 * @param {PackedPrompts} packed @param {number} first @param {Prompt} prompt @param {Geometry} geometry
 * @param {PromptLabels} codes
 */
function packOne(packed, first, prompt, geometry, codes) {
  let slot = first;
  for (const { x, y, isOnObject } of prompt.points) {
    const label = isOnObject ? codes.foreground : codes.background;
    packed.set(slot++, geometry.toModelX(x), geometry.toModelY(y), label);
  }
  if (prompt.box) {
    // A detector's box may reach over the border, where the network has seen nothing but padding.
    const x = (/** @type {number} */ place) => geometry.toModelX(clipped(place, geometry.width));
    const y = (/** @type {number} */ place) => geometry.toModelY(clipped(place, geometry.height));
    packed.set(slot++, x(prompt.box.x0), y(prompt.box.y0), codes.boxTopLeft);
    packed.set(slot++, x(prompt.box.x1), y(prompt.box.y1), codes.boxBottomRight);
  }
  if (prompt.hasPadPoint(geometry.rules)) packed.set(slot, 0, 0, codes.pad);
  for (; slot < first + geometry.rules.fixedPoints; slot++) {
    packed.set(slot, FILLING_XY, FILLING_XY, codes.pad);
  }
}

/** @param {number} place @param {number} most */
function clipped(place, most) {
  return Math.min(Math.max(place, 0), most);
}

/** @param {Prompt} prompt @param {Geometry} geometry @param {number} slots */
function requireFits(prompt, { width, height, rules }, slots) {
  if (!rules.negativePoints && prompt.points.some(({ isOnObject }) => !isOnObject)) {
    throw new PromptError('negative_point', 'this model was never trained with points off the object');
  }
  const needed = prompt.slots(rules);
  if (rules.fixedPoints > 0 && needed > rules.fixedPoints) {
    const most = rules.fixedPoints;
    throw new PromptError(
      'too_many_slots',
      `this model takes ${most} points, a box counts for two: not ${needed}`,
    );
  }
  if (needed > slots) {
    throw new PromptError(
      'too_many_slots',
      `the prompt takes ${needed} slots, this model has ${slots}: give fewer points or convert with ` +
        `--slots ${needed}`,
    );
  }
  const frame = `the photo of width ${width} and height ${height}`;
  // SAM answers such prompts too, with noise; the usual cause is pixels of a resized copy.
  const outside = prompt.points.find(({ x, y }) => !(x >= 0 && x <= width && y >= 0 && y <= height));
  if (outside) {
    throw new PromptError('point_outside', `point ${outside.x},${outside.y} (x,y) is outside ${frame}`);
  }
  const { box } = prompt;
  // A detector's box may reach over the border, as long as part of it is in the photo.
  if (box && (box.x0 > width || box.y0 > height || box.x1 < 0 || box.y1 < 0)) {
    throw new PromptError('box_outside', `the box ${Object.values(box)} is outside ${frame}`);
  }
}
