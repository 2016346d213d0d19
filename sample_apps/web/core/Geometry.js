import { ImageError } from './Errors.js';

/**
 * Where the centre of a pixel lies, from its left or upper edge, in pixels.
 *
 * A convention of resampling; the shift that prompts get is the graph's business.
 */
export const PIXEL_CENTRE = 0.5;

/**
 * Where a photo lies in the S frame: the square of side `imageSize` S in which it was resized so that its long
 * side is S, and put at the top left.
 *
 * `height`, `width` are pixels of the photo, `validHeight`, `validWidth` of the resized one.
 */
export class Geometry {
  /**
   * @param {number} height @param {number} width @param {number} validHeight @param {number} validWidth
   * @param {number} imageSize
   */
  constructor(height, width, validHeight, validWidth, imageSize) {
    this.height = height;
    this.width = width;
    this.validHeight = validHeight;
    this.validWidth = validWidth;
    this.imageSize = imageSize;
    // Each axis has its own scale, that of the rounded size, as in the official code.
    this.scaleX = validWidth / width;
    this.scaleY = validHeight / height;
  }

  /**
   * The geometry of a photo with sides of at least 1 pixel; throws `ImageError` for others.
   * @param {number} height @param {number} width @param {number} imageSize
   */
  static of(height, width, imageSize) {
    if (!(height >= 1 && width >= 1)) throw new ImageError(`the photo has no pixels: ${height} x ${width}`);
    const scale = imageSize / Math.max(height, width);
    return new Geometry(height, width, resizedSide(height, scale), resizedSide(width, scale), imageSize);
  }

  /**
   * The same part of the S frame seen at another size, as a screen shows it.
   * @param {number} height @param {number} width
   */
  shownAt(height, width) {
    return new Geometry(height, width, this.validHeight, this.validWidth, this.imageSize);
  }

  /** x of the photo → x of the S frame. @param {number} x */
  toModelX(x) {
    return x * this.scaleX;
  }

  /** @param {number} y */
  toModelY(y) {
    return y * this.scaleY;
  }

  /** x of the S frame → x of the photo; the inverse of `toModelX`. @param {number} x */
  toPhotoX(x) {
    return x / this.scaleX;
  }

  /** @param {number} y */
  toPhotoY(y) {
    return y / this.scaleY;
  }
}

/**
 * Rounded half up, and never 0 for a very long photo.
 * @param {number} side @param {number} scale
 */
function resizedSide(side, scale) {
  return Math.max(Math.trunc(side * scale + PIXEL_CENTRE), 1);
}
