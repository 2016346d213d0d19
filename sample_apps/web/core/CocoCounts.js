import { RunLengthError } from './Errors.js';

/** @import { RunLengthFault } from './Errors.js' */

// COCO's compressed counts: each count, from the fourth on less the one two before, in chunks of 5 bits with a
// continuation bit, low bits first, shifted to printable ASCII.  Numbers reach beyond 32 bits while they are
// read, so this is arithmetic and not bit operations.
const CHUNK_BITS = 5;
const CHUNK_VALUES = 1 << CHUNK_BITS;
const CHUNK_SIGN = CHUNK_VALUES >> 1;
const FIRST_CHARACTER = '0'.charCodeAt(0);

/** Chunks of one count: enough for 32 bits and a sign. */
const MAX_CHUNKS = 7;

/** @param {Int32Array} counts */
export function compressCounts(counts) {
  let text = '';
  counts.forEach((count, i) => {
    let value = i > 2 ? count - counts[i - 2] : count;
    for (let more = true; more;) {
      const chunk = value & (CHUNK_VALUES - 1);
      value >>= CHUNK_BITS;
      // The last chunk's top bit is the sign of the number.
      more = value !== (chunk & CHUNK_SIGN ? -1 : 0);
      text += String.fromCharCode(FIRST_CHARACTER + chunk + (more ? CHUNK_VALUES : 0));
    }
  });
  return text;
}

/**
 * The inverse of `compressCounts`; throws `RunLengthError`, but does not check the counts themselves.
 * @param {string} text
 */
export function decompressCounts(text) {
  /** @type {number[]} */
  const counts = [];
  let value = 0;
  let chunks = 0;
  for (const character of text) {
    const chunk = chunkOf(character);
    value += (chunk & (CHUNK_VALUES - 1)) * CHUNK_VALUES ** chunks;
    chunks++;
    if (chunk & CHUNK_VALUES) {
      if (chunks === MAX_CHUNKS) throw refusal('too_long', 'a number of more than 32 bits');
      continue;
    }
    if (chunk & CHUNK_SIGN) value -= CHUNK_VALUES ** chunks;
    counts.push(counts.length > 2 ? value + counts[counts.length - 2] : value);
    value = 0;
    chunks = 0;
  }
  if (chunks > 0) throw refusal('cut', 'they end in the middle of a number: the text is cut');
  return counts;
}

/** @param {string} character */
function chunkOf(character) {
  const chunk = (character.codePointAt(0) ?? 0) - FIRST_CHARACTER;
  if (chunk >= 0 && chunk < 2 * CHUNK_VALUES) return chunk;
  throw refusal('alphabet', `the character '${character}' is not in COCO's alphabet`);
}

/** @param {RunLengthFault} fault @param {string} problem */
function refusal(fault, problem) {
  return new RunLengthError(fault, `counts are no run lengths: ${problem}`);
}
