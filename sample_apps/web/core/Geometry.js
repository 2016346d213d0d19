import { ImageError } from './Errors.js';
import { SAM_RULES } from './Rules.js';

/** @import { Rules } from './Rules.js' */

/**
 * Where the centre of a pixel lies, from its left or upper edge, in pixels.
 *
 * A convention of resampling; the shift that prompts get is the graph's business.
 */
export const PIXEL_CENTRE = 0.5;

/** @typedef {{height: number, width: number}} Size */

/**
 * Where a photo lies in the input square of side `imageSize` S, at whose top left it was put after it was resized as
 * `rules` say, and in the *frame* of side F in which points and full masks live: the same square in most families.
 *
 * `height`, `width` are pixels of the photo, `validHeight`, `validWidth` of its part of the square, and `frameValid` is
 * its part of the frame.
 */
export class Geometry {
  /**
   * `photo` is the size whose part of a square this is: another than `height` x `width` where a screen shows it.
   * @param {number} height @param {number} width @param {number} imageSize @param {Readonly<Rules>} rules
   * @param {Size} photo
   */
  constructor(height, width, imageSize, rules, photo) {
    this.height = height;
    this.width = width;
    this.imageSize = imageSize;
    this.rules = rules;
    this.photo = photo;
    const valid = resizedSize(photo, imageSize, rules);
    this.validHeight = valid.height;
    this.validWidth = valid.width;
    this.frameSize = imageSize * rules.frameScale;
    this.frameValid = resizedSize(photo, this.frameSize, rules);
    const uniform = this.frameSize / Math.max(height, width);
    this.scaleX = rules.pointScale === 'uniform' ? uniform : this.frameValid.width / width;
    this.scaleY = rules.pointScale === 'uniform' ? uniform : this.frameValid.height / height;
  }

  /**
   * The geometry of a photo with sides of at least 1 pixel; throws `ImageError` for others.
   * @param {number} height @param {number} width @param {number} imageSize @param {Readonly<Rules>} [rules]
   */
  static of(height, width, imageSize, rules = SAM_RULES) {
    if (!(height >= 1 && width >= 1)) throw new ImageError(`the photo has no pixels: ${height} x ${width}`);
    return new Geometry(height, width, imageSize, rules, { height, width });
  }

  /**
   * The same part of the frame seen at another size, as a screen shows it.
   * @param {number} height @param {number} width
   */
  shownAt(height, width) {
    return new Geometry(height, width, this.imageSize, this.rules, this.photo);
  }

  /** The photo's part of a low-resolution mask of side `size`, rounded down and never 0. @param {number} size */
  lowResValid(size) {
    if (this.rules.resize === 'stretch') return { height: size, width: size };
    const { height, width } = this.photo;
    const longest = Math.max(height, width);
    const part = (/** @type {number} */ side) => Math.max(Math.trunc((size * side) / longest), 1);
    return { height: part(height), width: part(width) };
  }

  /** x of the photo → x of the frame. @param {number} x */
  toModelX(x) {
    return x * this.scaleX;
  }

  /** @param {number} y */
  toModelY(y) {
    return y * this.scaleY;
  }

  /** x of the frame → x of the photo; the inverse of `toModelX`. @param {number} x */
  toPhotoX(x) {
    return x / this.scaleX;
  }

  /** @param {number} y */
  toPhotoY(y) {
    return y / this.scaleY;
  }
}

/**
 * Size of a photo in a square of `side`, and never 0 for a very long one.
 * @param {Size} photo @param {number} side @param {Readonly<Rules>} rules
 */
function resizedSize({ height, width }, side, { resize, rounding }) {
  if (resize === 'stretch') return { height: side, width: side };
  if (rounding === 'down') {
    // In the order of NanoSAM's operations, since a rounding error may cost a pixel.
    const aspect = width / height;
    return aspect >= 1
      ? { height: Math.max(Math.trunc(side / aspect), 1), width: side }
      : { height: side, width: Math.max(Math.trunc(side * aspect), 1) };
  }
  const scale = side / Math.max(height, width);
  const resized = (/** @type {number} */ length) => Math.max(Math.trunc(length * scale + PIXEL_CENTRE), 1);
  return { height: resized(height), width: resized(width) };
}
