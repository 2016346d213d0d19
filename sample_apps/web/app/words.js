/** Figures as words: for the cards, and for people who listen to the page. */

/** @param {number} share */
export function percent(share) {
  const hundredths = share * 100;
  return `${hundredths < 10 ? hundredths.toFixed(1) : Math.round(hundredths)} %`;
}

/** @param {number} ms */
export function duration(ms) {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** @param {number} score */
export function twoDigits(score) {
  return Number.isFinite(score) ? score.toFixed(2) : 'not a number';
}

/** Where most of a mask lies. @param {Uint8Array} mask @param {{height: number, width: number}} size */
export function whereabouts(mask, { height, width }) {
  let [x, y, count] = [0, 0, 0];
  for (let place = 0; place < mask.length; place++) {
    if (!mask[place]) continue;
    x += place % width;
    y += Math.floor(place / width);
    count++;
  }
  if (count === 0) return 'nowhere';
  const across = third(x / count / width, ['left', '', 'right']);
  const down = third(y / count / height, ['top', '', 'bottom']);
  return [down, across].filter(Boolean).join(' ') || 'middle';
}

/** @param {number} share @param {string[]} names */
function third(share, names) {
  return names[Math.min(Math.floor(share * 3), 2)];
}

/** @param {number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
