import { ImageError } from './Errors.js';

/**
 * A mask: `pixels` uint8 (height, width), 1 inside and 0 outside. Throws `ImageError` for another length.
 */
export class Mask {
  static OUTSIDE = 0;
  static INSIDE = 1;

  /** @param {number} height @param {number} width @param {Uint8Array} pixels */
  constructor(height, width, pixels) {
    const expected = height * width;
    if (!(height >= 0 && width >= 0) || pixels.length !== expected) {
      throw new ImageError(`a mask of ${height} x ${width} takes ${expected} bytes, not ${pixels.length}`);
    }
    this.height = height;
    this.width = width;
    this.pixels = pixels;
  }

  /** @param {number} x @param {number} y */
  isInside(x, y) {
    return this.pixels[y * this.width + x] !== Mask.OUTSIDE;
  }

  /** Pixels inside. */
  get area() {
    return this.pixels.reduce((count, pixel) => count + (pixel === Mask.OUTSIDE ? 0 : 1), 0);
  }
}
