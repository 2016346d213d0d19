import { ImageError } from './Errors.js';

/** Channels of RGB, and of what a canvas gives. */
export const RGB_CHANNELS = 3;
const RGBA_CHANNELS = 4;
/** The largest sample. */
export const BRIGHTEST = 0xff;

/** A photo in memory: `samples` uint8 (height, width, 3), RGB.  Throws `ImageError` for another length. */
export class RgbImage {
  /** @param {number} height @param {number} width @param {Uint8Array} samples */
  constructor(height, width, samples) {
    requireLength(height, width, samples.length, RGB_CHANNELS);
    this.height = height;
    this.width = width;
    this.samples = samples;
  }

  /**
   * A grey photo, `samples` uint8 (height, width), repeated over the channels.
   * @param {number} height @param {number} width @param {Uint8Array} samples
   */
  static ofGrey(height, width, samples) {
    const rgb = new Uint8Array(samples.length * RGB_CHANNELS);
    samples.forEach((value, i) => rgb.fill(value, i * RGB_CHANNELS, (i + 1) * RGB_CHANNELS));
    return new RgbImage(height, width, rgb);
  }

  /**
   * The pixels of a canvas, uint8 (height, width, 4) RGBA; what is transparent there keeps its colour.
   * @param {number} height @param {number} width @param {Uint8ClampedArray | Uint8Array} pixels
   */
  static ofRgba(height, width, pixels) {
    requireLength(height, width, pixels.length, RGBA_CHANNELS);
    const samples = new Uint8Array(height * width * RGB_CHANNELS);
    for (
      let source = 0, target = 0;
      source < pixels.length;
      source += RGBA_CHANNELS, target += RGB_CHANNELS
    ) {
      samples[target] = pixels[source];
      samples[target + 1] = pixels[source + 1];
      samples[target + 2] = pixels[source + 2];
    }
    return new RgbImage(height, width, samples);
  }
}

/** @param {number} height @param {number} width @param {number} length @param {number} channels */
function requireLength(height, width, length, channels) {
  if (height < 1 || width < 1) throw new ImageError(`the photo has no pixels: ${height} x ${width}`);
  const expected = height * width * channels;
  if (length !== expected) {
    throw new ImageError(`a photo of ${height} x ${width} takes ${expected} bytes, not ${length}`);
  }
}
