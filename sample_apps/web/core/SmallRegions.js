import { Mask } from './Mask.js';

/** @typedef {'holes' | 'islands'} RegionKind unset regions to fill, or set regions to drop */
/** @typedef {{y: number, start: number, end: number}} RowRun columns `start` until `end` of row `y` */

/**
 * Fills holes or drops islands of fewer than `area` pixels; regions are 8-connected.
 *
 * If every island is small, the largest stays, of equal ones the first in reading order.
 * @param {Mask} mask @param {number} area @param {RegionKind} kind @returns {{mask: Mask, changed: boolean}}
 */
export function removeSmallRegions(mask, area, kind) {
  const runs = rowRuns(mask, kind === 'islands' ? Mask.INSIDE : Mask.OUTSIDE);
  const owners = connectedRegions(runs);
  const areas = new Map();
  runs.forEach((run, i) => areas.set(owners[i], (areas.get(owners[i]) ?? 0) + run.end - run.start));
  const small = new Set([...areas.keys()].filter((region) => areas.get(region) < area));
  if (small.size === 0) return { mask, changed: false };
  if (kind === 'islands' && small.size === areas.size) small.delete(largest(areas));
  const pixels = mask.pixels.slice();
  const replacement = kind === 'islands' ? Mask.OUTSIDE : Mask.INSIDE;
  runs.forEach((run, i) => {
    if (small.has(owners[i])) {
      pixels.fill(replacement, run.y * mask.width + run.start, run.y * mask.width + run.end);
    }
  });
  return { mask: new Mask(mask.height, mask.width, pixels), changed: true };
}

/** The first of the largest. @param {Map<number, number>} areas in reading order */
function largest(areas) {
  let best = -1;
  for (const [region, area] of areas) if (best < 0 || area > (areas.get(best) ?? 0)) best = region;
  return best;
}

/** Runs of pixels that equal `wanted`, in reading order. @param {Mask} mask @param {number} wanted */
function rowRuns(mask, wanted) {
  /** @type {RowRun[]} */
  const runs = [];
  for (let y = 0; y < mask.height; y++) {
    const row = y * mask.width;
    for (let x = 0; x < mask.width; x++) {
      if (mask.pixels[row + x] !== wanted) continue;
      const start = x;
      while (x < mask.width && mask.pixels[row + x] === wanted) x++;
      runs.push({ y, start, end: x });
    }
  }
  return runs;
}

/**
 * For each run the first run of its 8-connected region: union-find over runs that touch.
 * @param {RowRun[]} runs
 */
function connectedRegions(runs) {
  const parents = Int32Array.from(runs, (_, i) => i);
  /** @param {number} run */
  const root = (run) => {
    let i = run;
    while (parents[i] !== i) {
      parents[i] = parents[parents[i]];
      i = parents[i];
    }
    return i;
  };
  let above = 0;
  runs.forEach((run, i) => {
    // Runs above that end before this one begins touch no later run of this row either.
    while (runs[above].y < run.y - 1 || (runs[above].y === run.y - 1 && runs[above].end < run.start)) above++;
    for (let j = above; runs[j].y === run.y - 1 && runs[j].start <= run.end; j++) {
      const [first, second] = [root(i), root(j)].sort((a, b) => a - b);
      parents[second] = first;
    }
  });
  return parents.map((_, i) => root(i));
}
