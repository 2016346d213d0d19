import { ManifestError } from './Errors.js';
import { JsonFields } from './JsonFields.js';
import { Contract, Manifest } from './Manifest.js';
import { BRIGHTEST, RGB_CHANNELS } from './RgbImage.js';
import { readRules } from './Rules.js';

/** @import { Rules } from './Rules.js' */

/** @import { Artifact, EntryPoint, EverythingSearch, EverythingThresholds, FastSearch, ModelSizes, PromptLabels, TensorSpec } from './Manifest.js' */

/** Of manifest.json; another one has other rules. */
const SCHEMA_VERSION = 1;

const SHA256 = /^[0-9a-f]{64}$/;
const MAX_SIDE = 1 << 14;
/** Slots that a box takes, or a point with its pad point. */
const BOX_SLOTS = 2;
/** Numbers in one tensor. */
const MAX_COUNT = 2 ** 31 - 1;

/**
 * Reads `manifest.json`; throws `ManifestError` that names the field at fault.
 *
 * Strict: what this library cannot do (another colour order, normalisation outside the graph, …) is refused here
 * and not found out by wrong masks.
 * @param {string} text
 */
export function parseManifest(text) {
  const root = JsonFields.parse(text, 'manifest.json', ManifestError);
  const version = root.integer('schema_version');
  if (version !== SCHEMA_VERSION) {
    throw new ManifestError(
      `manifest.json has schema version ${version}, this library reads ${SCHEMA_VERSION}: ` +
        'convert again or update the app',
    );
  }
  const sizes = readSizes(root.fields('sizes'));
  const rules = readRules(root.fields('rules'));
  if (rules.fixedPoints > sizes.slots) root.fields('sizes').wrong('slots', `${rules.fixedPoints} or more`);
  const entryPoints = readEntryPoints(root.fields('entry_points'), sizes, rules);
  checkPreprocess(root.fields('preprocess'), sizes);
  checkPrompts(root.fields('prompts'), sizes);
  const postprocess = root.fields('postprocess');
  require(postprocess, 'low_res_size', sizes.maskSize);
  return new Manifest({
    name: root.fields('checkpoint').text('name'),
    sizes,
    rules,
    masksPerPrompt: rules.numMasks,
    padValue: root.fields('preprocess').fields('pad').number('value'),
    maskThreshold: postprocess.number('mask_threshold'),
    labels: readLabels(root.fields('prompts').fields('label_codes')),
    everything: readThresholds(root.fields('everything')),
    search: readSearch(root.fields('everything_search')),
    ...readCheckpoint(root.fields('checkpoint')),
    entryPoints,
    artifacts: root.objects('artifacts').map(readArtifact),
  });
}

/** @param {JsonFields} fields @returns {ModelSizes} */
export function readSizes(fields) {
  const sizes = {
    imageSize: fields.positiveInteger('image_size'),
    gridSize: fields.positiveInteger('grid_size'),
    maskSize: fields.positiveInteger('mask_size'),
    channels: fields.positiveInteger('channels'),
    slots: fields.positiveInteger('slots'),
    batch: fields.positiveInteger('batch'),
    scoreBatch: fields.positiveInteger('score_batch'),
  };
  if (sizes.imageSize > MAX_SIDE) fields.wrong('image_size', `at most ${MAX_SIDE}`);
  if (sizes.maskSize > sizes.imageSize) fields.wrong('mask_size', 'at most image_size');
  return sizes;
}

/** @param {JsonFields} fields @param {ModelSizes} sizes @param {Rules} rules */
function readEntryPoints(fields, sizes, rules) {
  /** @type {Record<string, EntryPoint>} */
  const found = {};
  const features = fields.fields(Contract.ENCODE).objects('outputs').map(readTensor);
  checkFeatures(fields.fields(Contract.ENCODE), features, sizes);
  for (const [name, expected] of Object.entries(expectedInputs(sizes, features, rules))) {
    found[name] = readEntryPoint(fields.fields(name), expected);
  }
  for (const [name, prompts] of /** @type {const} */ ([
    [Contract.DECODE, 1],
    [Contract.DECODE_BATCH, sizes.batch],
  ])) {
    if (!isSame(found[name].outputs, answers(prompts, rules.numMasks, sizes.maskSize))) {
      fields.fields(name).wrong('outputs', `low_res_masks and iou_predictions of ${prompts} prompts`);
    }
  }
  if (!fields.keys.includes(Contract.SCORE_BATCH)) return found;
  const scoring = fields.fields(Contract.SCORE_BATCH);
  // Feature maps beside the embedding are for masks alone.
  const slots = Math.max(BOX_SLOTS, rules.fixedPoints);
  const prompts = promptsOf(sizes.scoreBatch, slots);
  const scored = readEntryPoint(scoring, [features[0], ...prompts]);
  if (!isSame(scored.outputs, answers(sizes.scoreBatch, rules.numMasks, sizes.maskSize).slice(1))) {
    scoring.wrong('outputs', `iou_predictions of ${sizes.scoreBatch} prompts`);
  }
  return { ...found, [Contract.SCORE_BATCH]: scored };
}

/** @param {JsonFields} entry @param {TensorSpec[]} expected @returns {EntryPoint} */
function readEntryPoint(entry, expected) {
  const inputs = entry.objects('inputs').map(readTensor);
  if (!isSame(inputs, expected)) entry.wrong('inputs', `what 'sizes' says: ${JSON.stringify(expected)}`);
  return { inputs, outputs: entry.objects('outputs').map(readTensor) };
}

/**
 * Everything that decoding needs of the image: the embedding first, then feature maps of families that have some.
 * @param {JsonFields} fields @param {TensorSpec[]} features @param {ModelSizes} sizes
 */
function checkFeatures(fields, [embeddings, ...skips], { channels, gridSize }) {
  const expected = float(Contract.IMAGE_EMBEDDINGS, 1, channels, gridSize, gridSize);
  const names = new Set([embeddings, ...skips].map((spec) => spec?.name));
  const areFloats = skips.every(({ dtype, shape }) => dtype === 'float32' && isPossible(shape));
  if (!embeddings || !isSame([embeddings], [expected]) || !areFloats || names.size !== skips.length + 1) {
    fields.wrong('outputs', `${JSON.stringify(expected)} first, and float32 feature maps of other names`);
  }
}

/** Whether a tensor of such a shape can be held. @param {number[]} shape */
function isPossible(shape) {
  return shape.every((side) => side > 0) && shape.reduce((product, side) => product * side, 1) <= MAX_COUNT;
}

/**
 * @param {ModelSizes} sizes @param {TensorSpec[]} features @param {Rules} rules
 * @returns {Record<string, TensorSpec[]>}
 */
function expectedInputs({ imageSize, maskSize, slots, batch }, features, { maskPrompts }) {
  const masks = [float(Contract.MASK_INPUT, 1, 1, maskSize, maskSize), float(Contract.HAS_MASK_INPUT, 1)];
  return {
    [Contract.ENCODE]: [
      float(Contract.IMAGE, 1, RGB_CHANNELS, imageSize, imageSize),
      int(Contract.VALID_SIZE, 2),
    ],
    [Contract.DECODE]: [...features, ...promptsOf(1, slots), ...(maskPrompts ? masks : [])],
    [Contract.DECODE_BATCH]: [...features, ...promptsOf(batch, slots)],
  };
}

/** @param {number} count @param {number} slots */
function promptsOf(count, slots) {
  return [float(Contract.POINT_COORDS, count, slots, 2), int(Contract.POINT_LABELS, count, slots)];
}

/** @param {number} prompts @param {number} masks @param {number} side */
function answers(prompts, masks, side) {
  return [
    float(Contract.LOW_RES_MASKS, prompts, masks, side, side),
    float(Contract.IOU_PREDICTIONS, prompts, masks),
  ];
}

/** @param {string} name @param {number[]} shape @returns {TensorSpec} */
function float(name, ...shape) {
  return { name, shape, dtype: 'float32' };
}

/** @param {string} name @param {number[]} shape @returns {TensorSpec} */
function int(name, ...shape) {
  return { name, shape, dtype: 'int32' };
}

/** @param {TensorSpec[]} found @param {TensorSpec[]} expected */
function isSame(found, expected) {
  return JSON.stringify(found) === JSON.stringify(expected);
}

/** @param {JsonFields} fields @returns {TensorSpec} */
function readTensor(fields) {
  return { name: fields.text('name'), shape: fields.integers('shape'), dtype: fields.text('dtype') };
}

/** @param {JsonFields} fields @param {ModelSizes} sizes */
function checkPreprocess(fields, sizes) {
  require(fields, 'colour', 'RGB');
  require(fields, 'normalised_by', 'graph');
  require(fields.fields('resize'), 'long_side', sizes.imageSize);
  require(fields.fields('pad'), 'where', 'right and bottom');
  const [low, high] = fields.integers('value_range');
  if (low !== 0 || high !== BRIGHTEST) fields.wrong('value_range', 'that of 8 bits');
}

/** @param {JsonFields} fields @param {ModelSizes} sizes */
function checkPrompts(fields, sizes) {
  require(fields, 'point_shift_applied_by', 'graph');
  require(fields, 'slots', sizes.slots);
}

/** @param {JsonFields} fields @param {string} key @param {string | number} expected */
function require(fields, key, expected) {
  if (fields.value(key) === expected) return;
  const why = typeof expected === 'string' ? 'the only one that this library knows' : "as 'sizes' says";
  fields.wrong(key, `${JSON.stringify(expected)}, ${why}`);
}

/** @param {JsonFields} fields @returns {PromptLabels} */
function readLabels(fields) {
  return {
    unused: fields.integer('unused'),
    pad: fields.integer('pad'),
    background: fields.integer('background'),
    foreground: fields.integer('foreground'),
    boxTopLeft: fields.integer('box_top_left'),
    boxBottomRight: fields.integer('box_bottom_right'),
  };
}

/** @param {JsonFields} fields @returns {EverythingThresholds} */
function readThresholds(fields) {
  return {
    pointsPerSide: fields.positiveInteger('points_per_side'),
    predIouThresh: fields.number('pred_iou_thresh'),
    stabilityScoreThresh: fields.number('stability_score_thresh'),
    stabilityScoreOffset: fields.number('stability_score_offset'),
    highScoreThresh: fields.number('high_score_thresh'),
    boxNmsThresh: fields.number('box_nms_thresh'),
  };
}

/** @param {JsonFields} fields @returns {EverythingSearch} */
function readSearch(fields) {
  const offsets = fields.list('offsets').map((offset) => {
    const isPair = Array.isArray(offset) && offset.length === 2 && offset.every(Number.isSafeInteger);
    return isPair ? /** @type {number[]} */ (offset) : fields.wrong('offsets', 'a list of x, y');
  });
  return {
    coarseFactor: fields.positiveInteger('coarse_factor'),
    offsets,
    cropNmsThresh: fields.number('crop_nms_thresh'),
    fast: readFastSearch(fields.fields('fast')),
  };
}

/**
 * Also of a case of `everything_fast.json`.
 * @param {JsonFields} fields @returns {FastSearch}
 */
export function readFastSearch(fields) {
  return {
    nearIouSlack: fields.number('near_iou_slack'),
    scoreSlack: fields.number('score_slack'),
    windowMarginCells: fields.integer('window_margin_cells'),
    maxWaitingBytes: fields.integer('max_waiting_bytes'),
    duplicateIous: fields.numbers('duplicate_ious'),
    boxMargin: fields.number('box_margin'),
    stabilityMarginCells: fields.number('stability_margin_cells'),
  };
}

/** @param {JsonFields} fields */
function readCheckpoint(fields) {
  return {
    checkpointSha256: fields.isNull('sha256') ? null : fields.text('sha256'),
    isStandIn: fields.flag('stand_in'),
  };
}

/** @param {JsonFields} fields @returns {Artifact} */
function readArtifact(fields) {
  const sha256 = fields.text('sha256');
  if (!SHA256.test(sha256)) fields.wrong('sha256', '64 hexadecimal digits');
  const path = fields.text('path');
  if (path.startsWith('/') || path.includes('\\') || path.split('/').includes('..')) {
    fields.wrong('path', 'a path inside the bundle');
  }
  const entryPoints = fields.fields('entry_points');
  return {
    runtime: fields.text('runtime'),
    recipe: fields.text('recipe'),
    component: fields.text('component'),
    path,
    entryPoints: Object.fromEntries(entryPoints.keys.map((name) => [name, entryPoints.text(name)])),
    sha256,
    sizeBytes: fields.integer('size_bytes'),
  };
}
