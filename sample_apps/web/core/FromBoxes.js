import { Prompt } from './Prompts.js';
import { RunLengths } from './RunLengths.js';
import { stabilityScore } from './Stability.js';
import { bestOf, selectionScores } from './Predictor.js';

/** @import { SegmentedObject } from './Candidates.js' */
/** @import { EncodedPhoto, Predictor } from './Predictor.js' */
/** @import { PromptBox } from './Prompts.js' */

/**
 * Everything from boxes (MobileSAMv2, arXiv 2312.09579): one object for each of a detector's boxes, in their order.
 *
 * Nothing is filtered.  A mask may be empty, and its box is then 0, 0, 0, 0.  Throws `PromptError` for boxes that are
 * malformed or outside the photo.
 * @param {Predictor} predictor @param {EncodedPhoto} photo @param {PromptBox[]} boxes
 * @returns {Promise<SegmentedObject[]>}
 */
export async function objectsFromBoxes(predictor, photo, boxes) {
  const { manifest } = predictor;
  const upscaler = predictor.upscaler(photo.geometry);
  /** @type {SegmentedObject[]} */
  const found = [];
  for (let start = 0; start < boxes.length; start += manifest.sizes.batch) {
    const chosen = boxes.slice(start, start + manifest.sizes.batch);
    const prompts = chosen.map((box) => new Prompt([], box));
    const answer = await predictor.decodePrompts(photo, prompts);
    chosen.forEach(({ x0, y0, x1, y1 }, row) => {
      const masks = Array.from({ length: answer.masksPerPrompt }, (_, i) => answer.logits(row, i));
      const scores = answer.scores(row);
      const maskIndex = bestOf(selectionScores(masks, scores, manifest.rules));
      const runs = RunLengths.encode(upscaler.mask(masks[maskIndex]));
      const point = { x: (x0 + x1) / 2, y: (y0 + y1) / 2 };
      // At low resolution, with the cuts of the rule that selects by it.
      const stability = stabilityScore(masks[maskIndex], 0, 1);
      found.push({ runs, box: runs.box, score: scores[maskIndex], stability, point, maskIndex });
    });
  }
  return found;
}
