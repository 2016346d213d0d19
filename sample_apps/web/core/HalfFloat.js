/** Masks that wait for their full size are kept in half precision, as on the host: half the memory, and the same outlines. */
export const HALF_BYTES = 2;
const LARGEST_HALF = 65504;
const SMALLEST_NORMAL_HALF = 2 ** -14;
const HALF_FRACTION_BITS = 10;

/** The nearest float16, ties to even. @param {number} value */
export function roundToHalf(value) {
  const size = Math.abs(value);
  if (!Number.isFinite(value) || size === 0) return value;
  const exponent = Math.floor(Math.log2(Math.max(size, SMALLEST_NORMAL_HALF)));
  const step = 2 ** (exponent - HALF_FRACTION_BITS);
  // Adding and taking away 1.5 · 2^52 steps leaves a whole number of them, rounded by the processor.
  const magic = step * 1.5 * 2 ** 52;
  const rounded = size + magic - magic;
  return Math.sign(value) * (rounded > LARGEST_HALF ? Infinity : rounded);
}
