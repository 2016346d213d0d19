import { ManifestError } from './Errors.js';

/** @import { Rules } from './Rules.js' */

/** Names of the entry points and tensors, the same in every format; their sizes are in the manifest. */
export const Contract = Object.freeze({
  ENCODE: 'encode',
  DECODE: 'decode',
  DECODE_BATCH: 'decode_batch',
  /** Scores without masks, which some artifacts cannot give. */
  SCORE_BATCH: 'score_batch',
  IMAGE: 'image',
  VALID_SIZE: 'valid_size',
  IMAGE_EMBEDDINGS: 'image_embeddings',
  POINT_COORDS: 'point_coords',
  POINT_LABELS: 'point_labels',
  MASK_INPUT: 'mask_input',
  HAS_MASK_INPUT: 'has_mask_input',
  LOW_RES_MASKS: 'low_res_masks',
  IOU_PREDICTIONS: 'iou_predictions',
});

/**
 * The sizes of one converted model.
 *
 * `imageSize` S and `maskSize` m in pixels, `gridSize` in embedding cells, `channels` C of the embedding, `slots`
 * N per prompt, `batch` K prompts of one `decode_batch` call, `scoreBatch` those of one `score_batch` call.
 * @typedef {{imageSize: number, gridSize: number, maskSize: number, channels: number, slots: number,
 *   batch: number, scoreBatch: number}} ModelSizes
 */

/**
 * What the label of a prompt's slot says.
 * @typedef {{unused: number, pad: number, background: number, foreground: number, boxTopLeft: number,
 *   boxBottomRight: number}} PromptLabels
 */

/**
 * The checkpoint's own thresholds of everything mode; see EverythingSettings.js.
 * @typedef {{pointsPerSide: number, predIouThresh: number, stabilityScoreThresh: number,
 *   stabilityScoreOffset: number, highScoreThresh: number, boxNmsThresh: number}} EverythingThresholds
 */

/**
 * How everything mode searches: round 1 uses every `coarseFactor`-th point of the grid, round 2 goes around them
 * by `offsets` (x, y of each), and `cropNmsThresh` belongs to the NMS after small regions are cleaned.
 * @typedef {{coarseFactor: number, offsets: number[][], cropNmsThresh: number, fast: FastSearch}} EverythingSearch
 */

/**
 * Rules of the fast mode (docs/app_fixtures.md, `everything_fast.json`).
 *
 * A score came near to its threshold if it lacks at most `nearIouSlack`.  Where scores come first, a point is decoded
 * if its best one lacks at most `scoreSlack`, and the decoder's decides.  Waiting logits reach `windowMarginCells`
 * beyond the mask; beyond `maxWaitingBytes` of them duplicates go whose box IoU is above one of `duplicateIous`.
 * Rough boxes decide if they are `boxMargin` from the threshold, rough stabilities if they are
 * `stabilityMarginCells` over the square root of the mask's cells from theirs.
 * @typedef {{nearIouSlack: number, scoreSlack: number, windowMarginCells: number, maxWaitingBytes: number, duplicateIous: number[],
 *   boxMargin: number, stabilityMarginCells: number}} FastSearch
 */

/**
 * One tensor; `dtype` is a numpy name (float32 or int32).  An entry point's are in the order in which a .pte takes
 * and returns them.
 * @typedef {{name: string, shape: number[], dtype: string}} TensorSpec
 * @typedef {{inputs: TensorSpec[], outputs: TensorSpec[]}} EntryPoint
 */

/**
 * One converted file; `path` is relative to the bundle, with forward slashes.  `entryPoints` maps the contract's
 * names to those inside the file.
 * @typedef {{runtime: string, recipe: string, component: string, path: string,
 *   entryPoints: Record<string, string>, sha256: string, sizeBytes: number}} Artifact
 */

/**
 * A bundle's `manifest.json`: all numbers of the method.  `parseManifest` reads it.
 *
 * `padValue` fills the S frame beyond the photo; `maskThreshold` is a logit; `masksPerPrompt` is 3 in SAM.
 */
export class Manifest {
  /**
   * @param {{name: string, sizes: ModelSizes, rules: Rules, masksPerPrompt: number, padValue: number, maskThreshold: number,
   *   labels: PromptLabels, everything: EverythingThresholds, search: EverythingSearch,
   *   checkpointSha256: string | null, isStandIn: boolean, entryPoints: Record<string, EntryPoint>,
   *   artifacts: Artifact[]}} fields
   */
  constructor(fields) {
    this.name = fields.name;
    this.sizes = fields.sizes;
    this.rules = fields.rules;
    this.masksPerPrompt = fields.masksPerPrompt;
    this.padValue = fields.padValue;
    this.maskThreshold = fields.maskThreshold;
    this.labels = fields.labels;
    this.everything = fields.everything;
    this.search = fields.search;
    this.checkpointSha256 = fields.checkpointSha256;
    this.isStandIn = fields.isStandIn;
    this.entryPoints = fields.entryPoints;
    this.artifacts = fields.artifacts;
  }

  /** Slots of a prompt of `score_batch`, fewer than N; null where the model has none. */
  get scoreSlots() {
    const scoring = this.entryPoints[Contract.SCORE_BATCH];
    return scoring?.inputs.find(({ name }) => name === Contract.POINT_COORDS)?.shape[1] ?? null;
  }

  /** What `encode` returns, in order: all that decoding needs of the image. */
  get encoderOutputs() {
    return this.entryPoints[Contract.ENCODE].outputs;
  }

  /**
   * The artifacts of a runtime and recipe by component, encoder and decoder; throws `ManifestError` that lists what
   * there is.
   * @param {string} runtime @param {string} recipe
   */
  artifactsOf(runtime, recipe) {
    const found = this.artifacts.filter((a) => a.runtime === runtime && a.recipe === recipe);
    const encoder = found.find(({ component }) => component === 'encoder');
    const decoder = found.find(({ component }) => component === 'decoder');
    if (encoder && decoder) return { encoder, decoder };
    const have = this.artifacts.map((a) => `${a.runtime} ${a.recipe} ${a.component}`).join(', ');
    throw new ManifestError(
      `manifest.json has no encoder and decoder for ${runtime} ${recipe}, only ${have || 'no artifacts at all'}: ` +
        'convert again',
    );
  }

  /** Recipes of a runtime, in the manifest's order. @param {string} runtime */
  recipes(runtime) {
    return [...new Set(this.artifacts.filter((a) => a.runtime === runtime).map(({ recipe }) => recipe))];
  }
}

/**
 * The file's name for an entry point of the contract; throws `ManifestError` if it has none.
 * @param {Artifact} artifact @param {string} name
 */
export function entryPointOf(artifact, name) {
  if (Object.hasOwn(artifact.entryPoints, name)) return artifact.entryPoints[name];
  throw new ManifestError(`${artifact.path} has no entry point ${name}: convert the bundle again`);
}
