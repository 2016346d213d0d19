import { EngineError } from './Errors.js';

/** @import { TensorSpec } from './Manifest.js' */

/**
 * What `encode` returned: everything that decoding needs of the image, float32, by the contract's names.
 *
 * Only the manifest says how many tensors that is: the embedding, and in some families feature maps beside it.
 * @typedef {{values: Record<string, Float32Array>}} ImageFeatures
 */

/** @param {TensorSpec} spec */
function countOf({ shape }) {
  return shape.reduce((product, side) => product * side, 1);
}

/** Numbers in the joined array. @param {TensorSpec[]} specs */
export function joinedCount(specs) {
  return specs.reduce((sum, spec) => sum + countOf(spec), 0);
}

/**
 * (C, G, G) of an embedding that is alone, else (n,) of all features end to end.
 * @param {TensorSpec[]} specs
 */
export function joinedShape(specs) {
  return specs.length === 1 ? specs[0].shape.slice(1) : [joinedCount(specs)];
}

/**
 * All features as one array, in the order of the encoder's outputs `specs`: the stage `embedding` of a dump.
 *
 * Throws `EngineError` if one of them is not there, or has another length.
 * @param {ImageFeatures} features @param {TensorSpec[]} specs
 */
export function joinFeatures({ values }, specs) {
  const joined = new Float32Array(joinedCount(specs));
  let start = 0;
  for (const spec of specs) {
    const part = values[spec.name];
    if (part?.length !== countOf(spec)) {
      throw new EngineError(
        `encode gave ${spec.name} with ${part?.length ?? 'no'} numbers instead of ${countOf(spec)}`,
      );
    }
    joined.set(part, start);
    start += part.length;
  }
  return joined;
}

/**
 * The features of an encoder whose outputs are `specs`, from one array: how fixtures hold them.
 * @param {Float32Array} joined @param {TensorSpec[]} specs @returns {ImageFeatures}
 */
export function splitFeatures(joined, specs) {
  let start = 0;
  const values = Object.fromEntries(
    specs.map((spec) => {
      const part = joined.slice(start, (start += countOf(spec)));
      return [spec.name, part];
    }),
  );
  return { values };
}
