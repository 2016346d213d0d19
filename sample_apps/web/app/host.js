/** The host answers the same click, when the page was served with `--host-runtime`. */

/** @import { Remote } from './remote.js' */
/** @import { PromptBox, PromptPoint } from '../core/Prompts.js' */

export class Host {
  /** @param {URL} api with a slash at its end @param {Remote} remote */
  constructor(api, remote) {
    this.api = api;
    this.remote = remote;
    /** The photo's number on the host, by runtime. @type {Map<string, number>} */
    this.photos = new Map();
  }

  /** The host does not know the photo that is open now. */
  forget() {
    this.photos.clear();
  }

  /** @param {string} runtime @param {{points: PromptPoint[], box: PromptBox | null}} prompt */
  async mask(runtime, { points, box }) {
    const photo = this.photos.get(runtime) ?? (await this.send(runtime));
    const body = JSON.stringify({
      photo,
      points: points.flatMap(({ x, y }) => [x, y]),
      labels: points.map(({ isOnObject }) => Number(isOnObject)),
      box: box && [box.x0, box.y0, box.x1, box.y1],
    });
    return this.post(`host/${runtime}/masks`, body);
  }

  /** @param {string} runtime */
  async send(runtime) {
    const { height, width, samples } = await this.remote.call('pixels');
    const { photo } = await this.post(`host/${runtime}/photos?height=${height}&width=${width}`, samples);
    this.photos.set(runtime, photo);
    return photo;
  }

  /** @param {string} path @param {BodyInit | Uint8Array} body */
  async post(path, body) {
    return answerOf(
      await fetch(new URL(path, this.api), { method: 'POST', body: /** @type {BodyInit} */ (body) }),
    );
  }
}

/** The JSON of a call; rejects with the server's own words. @param {Response} response */
export async function answerOf(response) {
  const data = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(`the host refused: ${data.error ?? response.status}`);
  return data;
}
