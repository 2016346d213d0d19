/** @import { JsonFields } from './JsonFields.js' */

/**
 * What an app does around the network, as data: a family differs from Segment Anything here, never by its name
 * (docs/contract.md).
 *
 * `resize`, `rounding` and `filter` make the photo's part of the square; with `antialias` the filter's support grows with
 * the shrink factor, and with `wholeValues` the result is rounded to 8 bits.  Points and masks live in a frame of side
 * F = S · `frameScale`.  With `fixedPoints` above 0 every prompt has as many.  `numMasks` come back per prompt.
 * @typedef {{resize: string, rounding: string, filter: string, antialias: boolean, wholeValues: boolean,
 *   pointScale: string, frameScale: number, padPoint: string, fixedPoints: number, negativePoints: boolean,
 *   maskPrompts: boolean, numMasks: number, selection: string, upscale: string, upscaleFilter: string}} Rules
 */

/** Of Segment Anything and TinySAM. @type {Readonly<Rules>} */
export const SAM_RULES = Object.freeze({
  resize: 'longest_side',
  rounding: 'half_up',
  filter: 'bilinear',
  antialias: true,
  wholeValues: true,
  pointScale: 'per_axis',
  frameScale: 1,
  padPoint: 'without_box',
  fixedPoints: 0,
  negativePoints: true,
  maskPrompts: true,
  numMasks: 3,
  selection: 'predicted_iou',
  upscale: 'over_frame',
  upscaleFilter: 'bilinear',
});

const FILTERS = ['bilinear', 'bicubic'];
const MAX_FRAME_SCALE = 8;
const MAX_FIXED_POINTS = 64;
const MAX_MASKS = 4;

/**
 * Reads a manifest's `rules`; throws the error of `fields` that names the rule that this library does not know.
 * @param {JsonFields} fields @returns {Rules}
 */
export function readRules(fields) {
  const rules = {
    resize: oneOf(fields, 'resize', ['longest_side', 'stretch']),
    rounding: oneOf(fields, 'rounding', ['half_up', 'down']),
    filter: oneOf(fields, 'filter', FILTERS),
    antialias: fields.flag('antialias'),
    wholeValues: fields.flag('whole_values'),
    pointScale: oneOf(fields, 'point_scale', ['per_axis', 'uniform']),
    frameScale: within(fields, 'frame_scale', 1, MAX_FRAME_SCALE),
    padPoint: oneOf(fields, 'pad_point', ['without_box', 'always', 'never']),
    fixedPoints: within(fields, 'fixed_points', 0, MAX_FIXED_POINTS),
    negativePoints: fields.flag('negative_points'),
    maskPrompts: fields.flag('mask_prompts'),
    numMasks: within(fields, 'num_masks', 1, MAX_MASKS),
    selection: oneOf(fields, 'selection', ['predicted_iou', 'stability']),
    upscale: oneOf(fields, 'upscale', ['over_frame', 'at_once']),
    upscaleFilter: oneOf(fields, 'upscale_filter', FILTERS),
  };
  if (rules.upscale === 'over_frame' && rules.upscaleFilter !== 'bilinear') {
    fields.wrong('upscale_filter', "'bilinear' where masks are upscaled over the frame");
  }
  if (rules.wholeValues && !rules.antialias) fields.wrong('antialias', 'true where values are whole');
  return rules;
}

/** @param {JsonFields} fields @param {string} key @param {string[]} known */
function oneOf(fields, key, known) {
  const value = fields.text(key);
  return known.includes(value) ? value : fields.wrong(key, `one of ${known.join(', ')}`);
}

/** @param {JsonFields} fields @param {string} key @param {number} lowest @param {number} highest */
function within(fields, key, lowest, highest) {
  const value = fields.integer(key);
  return value >= lowest && value <= highest ? value : fields.wrong(key, `${lowest} to ${highest}`);
}
