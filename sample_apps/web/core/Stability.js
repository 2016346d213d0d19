import { countAbove } from './MaskUpscaler.js';

/**
 * IoU of a mask cut at `threshold` + `offset` with itself cut at `threshold` − `offset`; 0 where both are empty.
 *
 * `logits` float32 in any shape.  From Segment Anything (arXiv 2304.02643, appendix B).
 * @param {Float32Array} logits @param {number} threshold @param {number} offset
 */
export function stabilityScore(logits, threshold, offset) {
  const { inner, outer } = stabilityCuts(threshold, offset);
  return ratio(countAbove(logits, inner), countAbove(logits, outer));
}

/**
 * The two cuts, float32 as the logits that are compared with them.
 * @param {number} threshold @param {number} offset
 */
export function stabilityCuts(threshold, offset) {
  return { inner: Math.fround(threshold + offset), outer: Math.fround(threshold - offset) };
}

/**
 * The score of a mask of which `inner` and `outer` pixels are above the two cuts.
 * @param {number} inner @param {number} outer
 */
export function ratio(inner, outer) {
  return Math.fround(Math.fround(inner) / Math.fround(Math.max(outer, 1)));
}
