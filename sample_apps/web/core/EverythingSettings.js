/** @import { Manifest } from './Manifest.js' */

/**
 * Thresholds and grid of everything mode.
 *
 * `mode` is 'exact', the official generator's points, order and survivors, or 'fast'.  `highScoreThresh` (the
 * paper's τ) and `stabilityScoreOffset` are mask logits; `minRegionArea` in pixels, 0 for no cleaning.
 * `maxDecoderCalls` and `budgetMs` end the search early with what was found.
 * @typedef {object} EverythingSettings
 * @property {'exact' | 'fast'} mode
 * @property {boolean} hierarchical
 * @property {number} pointsPerSide
 * @property {number} predIouThresh
 * @property {number} stabilityScoreThresh
 * @property {number} stabilityScoreOffset
 * @property {number} highScoreThresh
 * @property {number} boxNmsThresh
 * @property {number} cropNmsThresh
 * @property {number} minRegionArea
 * @property {number | null} maxDecoderCalls
 * @property {number | null} budgetMs
 */

/**
 * The manifest's settings, with `changes` over them.
 * @param {Manifest} manifest @param {Partial<EverythingSettings>} [changes]
 * @returns {EverythingSettings}
 */
export function everythingSettings(manifest, changes = {}) {
  return {
    mode: 'fast',
    hierarchical: true,
    ...manifest.everything,
    cropNmsThresh: manifest.search.cropNmsThresh,
    minRegionArea: 0,
    maxDecoderCalls: null,
    budgetMs: null,
    ...changes,
  };
}
