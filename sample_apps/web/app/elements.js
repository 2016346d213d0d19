/** @template {HTMLElement} T @param {string} id @param {new () => T} Kind @returns {T} */
export function element(id, Kind) {
  const found = document.getElementById(id);
  if (found instanceof Kind) return found;
  throw new Error(`index.html has no ${Kind.name} with the id ${id}`);
}

/** @param {string} id */
export const button = (id) => element(id, HTMLButtonElement);
/** @param {string} id */
export const input = (id) => element(id, HTMLInputElement);
/** @param {string} id */
export const select = (id) => element(id, HTMLSelectElement);
/** @param {string} id */
export const part = (id) => element(id, HTMLElement);

/**
 * Fills a select with values and the words for them.
 * @param {HTMLSelectElement} list @param {[string, string][]} options
 */
export function fill(list, options) {
  list.replaceChildren(...options.map(([value, words]) => new Option(words, value)));
}

/** Hands a file to the person. @param {Blob} blob @param {string} name */
export function download(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // The browser has begun to read it by then.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** @param {unknown} data @param {string} name */
export function downloadJson(data, name) {
  download(new Blob([JSON.stringify(data)], { type: 'application/json' }), name);
}
