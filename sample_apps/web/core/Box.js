/**
 * First and last column and row of something, both inside it, in pixels of the photo.
 * @typedef {{x0: number, y0: number, x1: number, y1: number}} Box
 */

/** The box of an empty mask. @type {Readonly<Box>} */
export const EMPTY_BOX = Object.freeze({ x0: 0, y0: 0, x1: 0, y1: 0 });

const BOX_NUMBERS = 4;

/**
 * Non-maximum suppression: indices of the boxes that stay, by falling score; of equal scores the earlier first.
 *
 * A box goes if its IoU with one that stays and has a higher score is above `iouThreshold`.  `boxes` is flat,
 * x0, y0, x1, y1 of each.  Widths are x1 − x0, so boxes without area overlap nothing.  All in float32, as the
 * host does it.
 * @param {Float32Array} boxes @param {Float32Array} scores @param {number} iouThreshold
 */
export function suppressOverlaps(boxes, scores, iouThreshold) {
  const threshold = Math.fround(iouThreshold);
  /** @type {number[]} */
  const kept = [];
  for (const candidate of byFallingScore(scores)) {
    if (!kept.some((other) => intersectionOverUnion(boxes, other, candidate) > threshold))
      kept.push(candidate);
  }
  return kept;
}

/**
 * Indices by falling score; stable, and a score that is not a number comes last.
 * @param {ArrayLike<number>} scores
 */
export function byFallingScore(scores) {
  const order = Array.from({ length: scores.length }, (_, i) => i);
  /** @param {number} i */
  const rank = (i) => (Number.isNaN(scores[i]) ? -Infinity : scores[i]);
  return order.sort((a, b) => (rank(a) === rank(b) ? 0 : rank(b) - rank(a)));
}

/** The boxes as `suppressOverlaps` takes them. @param {Box[]} boxes */
export function flatBoxes(boxes) {
  return Float32Array.from(boxes.flatMap(({ x0, y0, x1, y1 }) => [x0, y0, x1, y1]));
}

/**
 * IoU, float32, of two of the flat `boxes`.
 * @param {Float32Array} boxes @param {number} first @param {number} second
 */
export function intersectionOverUnion(boxes, first, second) {
  const a = first * BOX_NUMBERS;
  const b = second * BOX_NUMBERS;
  const f = Math.fround;
  const width = Math.max(f(Math.min(boxes[a + 2], boxes[b + 2]) - Math.max(boxes[a], boxes[b])), 0);
  const height = Math.max(f(Math.min(boxes[a + 3], boxes[b + 3]) - Math.max(boxes[a + 1], boxes[b + 1])), 0);
  const shared = f(width * height);
  const union = f(f(area(boxes, a) + area(boxes, b)) - shared);
  return union > 0 ? f(shared / union) : 0;
}

/** @param {Float32Array} boxes @param {number} start */
function area(boxes, start) {
  const width = Math.fround(boxes[start + 2] - boxes[start]);
  return Math.fround(width * Math.fround(boxes[start + 3] - boxes[start + 1]));
}
